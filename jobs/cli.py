"""`python -m jobs`: the commands, each in a file of its own under `jobs/commands`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

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


def add(command: Callable[..., None], panel: str, **settings: Any) -> None:
    """A command with its docstring for help, each paragraph as wide as the terminal."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    flowing = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(rich_help_panel=panel, help=flowing, **settings)(command)


TAKES_JOB: dict[str, Any] = {"cls": JobCommand, "context_settings": CONTEXT}

add(prompts, BEFORE)
add(check, BEFORE, **TAKES_JOB)
add(plan, BEFORE, **TAKES_JOB)
add(calibrate, BEFORE, **TAKES_JOB)
add(evaluate, BEFORE, **TAKES_JOB)
add(generate, RUN, **TAKES_JOB)
add(submit, RUN, **TAKES_JOB)
add(report, AFTER)
add(history, AFTER)
add(show, AFTER)
