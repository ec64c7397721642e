"""What a person types, and what becomes of it before anything runs."""
