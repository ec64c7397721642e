"""`python -m jobs check`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.commands.job_arguments import JobArguments
from jobs.exits import ending
from jobs.nights.night import DATE


def check(
    arguments: JobArguments = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a job's YAML instead.")] = False,
) -> None:
    """Say whether a job is well formed, and print it with all its defaults: as YAML that is the same job.

    Prompts and models are not looked at; `generate` does that before it starts an actor. For completion and checks
    in an editor: `python -m jobs check --schema > job.schema.json`, and as the YAML's first line
    `# yaml-language-server: $schema=job.schema.json`.

    Exit codes: 0 the job is well formed, 2 it is not, and one line says why.
    """
    with ending():
        from jobs.config.load import load_job
        from jobs.config.written import job_schema, written
        from jobs.nights.dates import settled

        if schema:
            typer.echo(json.dumps(job_schema(), indent=2))
            return
        job = load_job(arguments or [])
        typer.echo(written(job), nl=False)
        if (night := settled(job).night) != job.night:
            typer.echo(f"# By now {DATE} is {night.date}.")
