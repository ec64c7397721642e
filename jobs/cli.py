"""`python -m jobs`: the commands, each in a file of its own under `jobs/commands`."""

from __future__ import annotations

import typer

from jobs.commands.calibrate import calibrate
from jobs.commands.check import check
from jobs.commands.evaluate import evaluate
from jobs.commands.generate import generate
from jobs.commands.history import history
from jobs.commands.job_arguments import CONTEXT, JobCommand
from jobs.commands.plan import plan
from jobs.commands.prompts import prompts
from jobs.commands.report import report
from jobs.commands.show import show
from jobs.commands.submit import submit

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

BEFORE, RUN, AFTER = "Before a job", "A job", "After a job"


@app.callback()
def main() -> None:
    """Generate pictures and videos for many prompts with cached diffusion pipelines, on Ray.

    `python -m jobs generate` alone runs the packaged demo. Every command takes `--help`.
    """


app.command(rich_help_panel=BEFORE)(prompts)
app.command(rich_help_panel=BEFORE, cls=JobCommand, context_settings=CONTEXT)(check)
app.command(rich_help_panel=BEFORE, cls=JobCommand, context_settings=CONTEXT)(plan)
app.command(rich_help_panel=BEFORE, cls=JobCommand, context_settings=CONTEXT)(calibrate)
app.command(rich_help_panel=BEFORE, cls=JobCommand, context_settings=CONTEXT)(evaluate)
app.command(rich_help_panel=RUN, cls=JobCommand, context_settings=CONTEXT)(generate)
app.command(rich_help_panel=RUN, cls=JobCommand, context_settings=CONTEXT)(submit)
app.command(rich_help_panel=AFTER)(report)
app.command(rich_help_panel=AFTER)(history)
app.command(rich_help_panel=AFTER)(show)
