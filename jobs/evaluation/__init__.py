"""Which cache is worth it: settings -> trials -> frontier -> recommendation, on the user's own model and prompts."""
