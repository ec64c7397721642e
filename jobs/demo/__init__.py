"""The small models that this project trained for itself, and what they were trained on."""
