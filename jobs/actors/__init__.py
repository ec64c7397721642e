"""What runs on a GPU: a pipeline with its cache, and all that an actor needs around it."""
