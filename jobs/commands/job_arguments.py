"""What a command that takes a job is given: `[JOB.YAML]... [--FIELD VALUE]...`, and the fields in its help."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from jobs.config.fields import fields_table

JobArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB.YAML]... [--FIELD VALUE]...", help="The job, and what differs from it."),
]

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Lets typer pass on options that it doesn't know: they are fields of the job."""


class JobCommand(typer.core.TyperCommand):
    """A command that takes a job: its help ends with all fields of one."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return ["[JOB.YAML]", "[--FIELD VALUE]...", "[OPTIONS]"]

    def format_help(self, ctx: typer.Context, formatter: object) -> None:  # type: ignore[override]
        super().format_help(ctx, formatter)  # type: ignore[arg-type]
        Console().print(fields_table())
