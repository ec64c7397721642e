"""From prompt shards, wherever they are, to planned batches of samples."""
