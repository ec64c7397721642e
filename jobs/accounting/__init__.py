"""What was gained and what it cost: sums over manifest rows, audits, estimates, intervals."""
