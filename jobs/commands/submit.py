"""`python -m jobs submit`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jobs.commands.job_arguments import JobArguments
from jobs.exits import DONE, ending

Address = Annotated[
    str,
    typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="Of the cluster's dashboard, as http://HOST:8265."),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job, or only print its id.")]


def submit(arguments: JobArguments = None, address: Address = "http://127.0.0.1:8265", wait: Wait = True) -> None:
    """Run a job on a Ray cluster that is up: send it, print its log, end with its exit code.

    What is sent is the job and the code of jobs and teacache; nothing is installed, so the cluster's image has to
    hold their requirements. Ctrl-C ends the following, not the job. Prompts, models and the output have to be where
    every node finds them. A cluster that asks for a token gets it with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN.

    Exit codes: those of generate; 2 also if the cluster can't be reached, 130 also if the job was stopped.
    """
    with ending():
        from jobs import submit as jobs_submit
        from jobs.config.load import load_job

        submission = jobs_submit.submit(load_job(arguments or []), address)
    if not wait:
        print(submission.id)
        raise typer.Exit(DONE)
    print(f"submitted {submission.id}", file=sys.stderr)
    with ending(interrupted=f"the job goes on; {submission.advice}"):
        code = jobs_submit.follow(submission, lambda text: print(text, end="", flush=True))
    raise typer.Exit(code)
