"""`python -m jobs.demo.prompts`: write the demo jobs' input, 64 captions that no training has seen, in 4 shards."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.demo.models import HERE, RECIPES

FOLDERS = {"prompts": "flux", "video-prompts": "mochi"}  # and a model that knows such captions
PROMPTS, SHARDS = 64, 4


def write(folder: Path, model: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    captions = [scene.caption for scene in RECIPES[model]().dataset.held_out(PROMPTS, seed=64)]
    table = pa.table({"id": [f"demo-{number:02}" for number in range(PROMPTS)], "prompt": captions})
    for shard in range(SHARDS):
        rows = PROMPTS // SHARDS
        file = folder / f"prompts-{shard:05}-of-{SHARDS:05}.parquet"
        pq.write_table(table.slice(shard * rows, rows), file)


if __name__ == "__main__":
    for name, model in FOLDERS.items():
        write(HERE / name, model)
        print(f"wrote {PROMPTS} prompts in {SHARDS} shards to {HERE / name}")
