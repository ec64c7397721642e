"""`python -m jobs calibrate`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from jobs.commands.job_arguments import JobArguments
from jobs.exits import ending


def calibrate(
    arguments: JobArguments = None,
    num_prompts: Annotated[
        int, typer.Option("--num-prompts", min=1, help="How many of the job's prompts to run.")
    ] = 24,
) -> None:
    """Measure each model of a job: TeaCache's polynomial, and a schedule for every number of computed steps.

    Runs the first prompts of the job uncached, over its actors and with its settings, and writes
    calibration/MODEL.json below the output. A job takes it by `cache: {method: teacache, calibration: FILE}` or
    `cache: {method: schedule, computed: 12, calibration: FILE}`; as teacache.json beside the weights it is found
    without being named. It is for one number of steps, and refused where model or scheduler differ.

    Exit codes: 0 all models are calibrated, 1 a run failed, 2 the input was refused.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    console = Console()
    with ending():
        from jobs.calibrate import calibrate as run
        from jobs.config.load import load_job

        for done in run(load_job(arguments or []), console, num_prompts=num_prompts):
            for name, fit in done.calibration.polynomials.items():
                held_out = "" if fit.held_out_r2 is None else f", held out {fit.held_out_r2:.2f}"
                console.print(f"{done.model} {name}: polynomial R2 {fit.r2:.2f}{held_out}, {fit.pairs} pairs of steps, "
                              f"{len(done.calibration.schedules[name])} schedules", markup=False)  # fmt: skip
            console.print(f"{done.model}: {done.url}", markup=False, soft_wrap=True)
