"""What a job keeps in its output, so that a row counts once: manifest, identity, lease."""
