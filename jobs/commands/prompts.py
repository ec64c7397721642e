"""`python -m jobs prompts`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from jobs.exits import ending


def prompts(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A .txt, .csv, .tsv, .jsonl or .parquet file, also compressed; a folder; a glob."
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The folder for the shards, empty or new; any fsspec URL.")
    ],
    column: Annotated[str, typer.Option(help="The column that holds the prompts.")] = "prompt",
    shard_size: Annotated[int, typer.Option(min=1, help="Rows per shard.")] = 10_000,
) -> None:
    """Turn prompts into Parquet shards with ids, for `generate`.

    A text file has a prompt per line. Of other files the columns id, negative_prompt, seed, height, width,
    num_frames, num_inference_steps and guidance_scale come along. Without a column id, a row's id follows from its
    content: the same prompt has the same id every time, and rows of equal content become one.

    Exit codes: 0, or 2 when the input was refused; then nothing is left behind.
    """
    with ending():
        from jobs.prompts.sharding import shard_prompts
        from jobs.report.text import visible
        from jobs.storage import public

        told = shard_prompts(source, target, column, shard_size)
        lines = [f"{told.rows:,} prompts in {told.shards:,} shard(s), {public(target)}"]
        if told.duplicates:
            lines.append(f"{told.duplicates:,} duplicate(s) left out, the first: {visible(told.first_duplicate)}")
        if told.empty:
            lines.append(f"{told.empty:,} row(s) without a prompt left out")
        if told.left_out:
            lines.append(f"columns left out: {', '.join(visible(name) for name in sorted(told.left_out))}")
        for line in lines:
            Console().print(line, markup=False, soft_wrap=True, highlight=False)
