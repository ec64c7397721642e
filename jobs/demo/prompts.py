"""`python -m jobs.demo.prompts`: write the demo job's input, 64 captions that no training has seen, in 4 shards."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.demo.scenes import held_out_scenes

FOLDER = Path(__file__).parent / "prompts"
PROMPTS, SHARDS = 64, 4


def write(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    captions = [scene.caption for scene in held_out_scenes(PROMPTS, seed=64)]
    table = pa.table({"id": [f"demo-{number:02}" for number in range(PROMPTS)], "prompt": captions})
    for shard in range(SHARDS):
        rows = PROMPTS // SHARDS
        file = folder / f"prompts-{shard:05}-of-{SHARDS:05}.parquet"
        pq.write_table(table.slice(shard * rows, rows), file)


if __name__ == "__main__":
    write()
    print(f"wrote {PROMPTS} prompts in {SHARDS} shards to {FOLDER}")
