"""From pixels to files: encoded, laid out, uploaded and noted."""
