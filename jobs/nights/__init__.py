"""A job that runs every night: dates, history, alarms."""
