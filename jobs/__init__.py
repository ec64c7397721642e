"""Batch generation with cached diffusion pipelines on Ray: `python -m jobs --help`."""
