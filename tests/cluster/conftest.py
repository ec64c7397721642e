from pathlib import Path

CLUSTER = Path(__file__).parents[2] / "cluster"
