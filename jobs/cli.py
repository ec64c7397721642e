"""`python -m jobs`: the commands, each in a file of its own under `jobs/commands`."""

from __future__ import annotations

import typer

from jobs.commands.check import check
from jobs.commands.generate import generate
from jobs.commands.history import history
from jobs.commands.job_arguments import CONTEXT, JobCommand
from jobs.commands.plan import plan
from jobs.commands.report import report

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Generate pictures for many prompts with cached diffusion pipelines, on Ray."""


app.command(cls=JobCommand, context_settings=CONTEXT)(generate)
app.command(cls=JobCommand, context_settings=CONTEXT)(check)
app.command()(report)
app.command()(history)
app.command(cls=JobCommand, context_settings=CONTEXT)(plan)
