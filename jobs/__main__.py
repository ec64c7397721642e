import os

# A thread that outlives ray.shutdown(), as Ray Data's may, would start another Ray by the next thing it asks of it.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

from jobs.cli import app

app(prog_name="python -m jobs")
