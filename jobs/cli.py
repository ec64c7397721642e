"""`python -m jobs`: what to type, and what comes back as exit code."""

from __future__ import annotations

import os
import tempfile
import traceback
from typing import Annotated

import typer
from rich.console import Console

from jobs.errors import JobFailed, Refused, describe
from jobs.fields import fields_table

DONE, SOME_FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130

_JOB_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class JobCommand(typer.core.TyperCommand):
    """A command that takes a job: its help ends with all fields of one."""

    def format_help(self, ctx: typer.Context, formatter: object) -> None:  # type: ignore[override]
        super().format_help(ctx, formatter)  # type: ignore[arg-type]
        Console().print(fields_table())


@app.callback()
def main() -> None:
    """Generate pictures for many prompts with cached diffusion pipelines, on Ray."""


@app.command(cls=JobCommand, context_settings=_JOB_ARGUMENTS)
def generate(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB.YAML] [--FIELD VALUE]...", help="The job, and fields that differ from it."),
    ] = None,
) -> None:
    """Make a picture for every prompt that was not tried yet, and a table of what that came to.

    Without a job file the packaged demo runs. The same command again goes on with the rows that are missing;
    rows that failed are not tried again, unless the folder failed/ is deleted from the output.

    Exit codes: 0 all rows are done, 1 some failed or the job ended early,
    2 the input was refused before any actor started, 130 interrupted.
    """
    # What it says about optional packages on import is not about this job.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Imported here: --help should not wait for torch.
    from jobs.load import load_job
    from jobs.run import generate as run

    console = Console()
    try:
        summary = run(load_job(arguments or []), console)
    except Refused as refused:
        raise _ended(f"refused: {refused}", REFUSED) from None
    except JobFailed as failed:
        raise _ended(f"failed: {failed}", SOME_FAILED) from None
    except KeyboardInterrupt:
        raise _ended("interrupted; the same command goes on from here", INTERRUPTED) from None
    except Exception as error:
        raise _ended(f"internal error: {describe(error)}; traceback in {_kept_traceback()}", SOME_FAILED) from None
    console.print(summary.table())
    raise typer.Exit(SOME_FAILED if summary.failed else DONE)


def _kept_traceback() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="jobs-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(traceback.format_exc())
    return file.name


def _ended(message: str, code: int) -> typer.Exit:
    Console(stderr=True).print(message, style="bold red", soft_wrap=True, highlight=False, markup=False)
    return typer.Exit(code)
