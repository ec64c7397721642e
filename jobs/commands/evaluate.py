"""`python -m jobs evaluate`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from jobs.commands.job_arguments import JobArguments
from jobs.exits import DONE, SOME_FAILED, ending

Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="MEASURE=LIMIT",
        help="psnr, ssim, ms_ssim or lpips; else the job's own, else psnr=35.",
    ),
]
NumPrompts = Annotated[int, typer.Option("--num-prompts", min=2, help="How many of the job's prompts to run.")]
Methods = Annotated[
    list[str] | None, typer.Option("--method", help="teacache, adaptive or schedule; all if not given.")
]


def evaluate(
    arguments: JobArguments = None, target: Targets = None, num_prompts: NumPrompts = 24, method: Methods = None
) -> None:
    """Find the cheapest setting that keeps the pictures as near to uncached ones as wanted, on a job's own prompts.

    Tries every caching method at a range of settings, and fewer steps without a cache, each sample beside its uncached
    twin of the same seed: some twelve times the work of making those prompts once. The prompts are drawn from the job
    by hash of id. The cheapest setting whose median keeps the target on one half of them is recommended if it does so
    on the other half too, else the next more careful one. Cheapest is what computes the fewest denoising steps; the
    seconds are measured as well, and stand beside it. A model's own `cache` says what else holds for all settings, such
    as granularity or residual_dtype. Run `calibrate` before for a model without published coefficients; what it
    wrote for the job is used.

    Writes below the output: evaluation/recommended.yaml, which goes with the job's file as
    `python -m jobs generate JOB.YAML OUTPUT/evaluation/recommended.yaml`; and in evaluation/MODEL/ rows.parquet (a
    row per sample and setting), evaluation.json, evaluation.md, frontier.svg and frontier.png. The same command again
    goes on where it was stopped: what is lost is one setting of one batch per actor.
    `cache: {target: {psnr: 35}}` in a job does all this by itself before the run.

    Without a job file the packaged demo is evaluated.

    Exit codes: 0 done, 1 some rows failed or a model can't be run, 2 the input was refused, 130 interrupted.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    console = Console()
    with ending(interrupted="interrupted; the same command goes on from here"):
        from jobs.config.load import load_job
        from jobs.evaluation.asked import asked_methods, asked_target
        from jobs.evaluation.evaluate import evaluate as run
        from jobs.evaluation.publish import publish, write_fragment
        from jobs.nights.dates import dated

        job, wanted = dated(load_job(arguments or [])), asked_target(target) if target else None
        found = run(job, console, wanted, num_prompts=num_prompts, only=asked_methods(method or []))
        published = [publish(tried, job, console, caches_only=bool(job.models)) for tried in found]
        for line in (*(each.folder for each in published), write_fragment(published, job)):
            console.print(line, markup=False, soft_wrap=True, highlight=False)
    failed = any(trial.error for tried in found for trial in tried.trials)
    raise typer.Exit(SOME_FAILED if failed else DONE)
