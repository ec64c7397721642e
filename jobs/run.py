"""A job from first check to last figure; composes only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace

from rich.console import Console

from jobs import cluster, metrics, preflight, signals, storage, tries
from jobs.accounting.recount import earlier_runs
from jobs.accounting.statistics import COLUMNS, Statistics, per_model
from jobs.accounting.summary import Summary
from jobs.actors.loading import check_devices
from jobs.config.job import Job
from jobs.config.model import Model
from jobs.errors import Failure, JobFailed, attempt
from jobs.evaluation import resolve
from jobs.ids import contains
from jobs.logs import log_model
from jobs.media import layouts
from jobs.output import identity, lease, manifest, merge
from jobs.output.lease import Lease
from jobs.paths import Output
from jobs.pipeline import Task
from jobs.preflight import Checked
from jobs.progress import Tally, follow
from jobs.prompts.plan import Digests
from jobs.prompts.scan import check_duplicates
from jobs.report.single import write_report
from jobs.runs import current_run
from jobs.salvage import Wanted, spool, wanted
from jobs.work import Work, check_edited, to_do, works


def generate(job: Job, console: Console, *, retry_failed: bool = False) -> Summary:
    """Make every picture that is missing, or all that failed, and say what the job came to.

    Raises Refused before any actor starts, JobFailed if the job ends before all rows were tried, and
    KeyboardInterrupt after a signal, when what was in hand is written.
    """
    with signals.handled():
        ready = preflight.checked(job)
        check_duplicates(ready.job.prompts, ready.scan)
        for shard in ready.scan.shards:
            if shard.problem:
                _say(console, f"skipped: {shard.problem}")
        with lease.held(Output(url=ready.job.output)) as turn:
            found = replace(ready, job=resolve.resolved(ready.job, console))
            return _generate(found, turn, console, retry_failed=retry_failed)


def _generate(ready: Checked, turn: Lease, console: Console, *, retry_failed: bool) -> Summary:
    job, output = ready.job, Output(url=ready.job.output)
    identity.claim(job)
    merge.merge(output)
    manifest.drop_repeated(output)
    layouts.sweep(output)
    states = works(ready)
    check_edited(ready, states)
    pending = {work.model.name: to_do(work, retry_failed=retry_failed) for work in states}
    total = sum(len(ids) for ids in pending.values())
    _say(console, f"{job.name}: {total:,} rows to do, output {storage.public(job.output)}")
    try:
        runs = _run(ready, states, pending, turn, console) if total else {}
        manifest.drop_repeated(output)
    except (JobFailed, KeyboardInterrupt):
        # What was written counts; that it can't be counted must not hide what ended the job.
        with suppress(Exception):
            if not turn.lost:  # the files are another run's now
                manifest.drop_repeated(output)
            summary = _summary(job, {})
            console.print(summary.table())
            _report(job, summary, console)
        raise
    summary = _summary(job, runs)
    _report(job, summary, console)
    if turn.leaving:
        console.print(summary.table())
        raise KeyboardInterrupt
    for work in states:
        _check_readable(job, work, pending[work.model.name], summary)
    if skipped := sum(bool(shard.problem) for shard in ready.scan.shards):
        console.print(summary.table())
        raise JobFailed(f"{skipped} shard(s) of prompts could not be read and were skipped; all else is tried")
    if retry_failed and (untried := sum(len(work.pending) for work in states)):
        console.print(summary.table())
        raise JobFailed(f"{untried:,} row(s) were never tried; the same command without --retry-failed makes them")
    return summary


def _summary(job: Job, runs: dict[str, Tally]) -> Summary:
    """What the output holds by now, also written there."""
    output = Output(url=job.output)
    summary = Summary(
        job=job.name,
        models=per_model(manifest.read_batches(output, COLUMNS)),
        runs=runs,
        price_per_hour=job.price_per_hour,
        alarm=job.alarm,
        earlier=earlier_runs(output),
    )
    storage.write(output.stats, summary.to_json().encode())
    storage.write(output.stats_table, summary.to_parquet())
    return summary


def _report(job: Job, summary: Summary, console: Console) -> None:
    """For people; the rows are there without it, so a fault in it is told and no more."""
    place = attempt(lambda: write_report(Output(url=job.output), json.loads(summary.to_json())))
    _say(console, f"no report: {place.error}" if isinstance(place, Failure) else f"report: {place}")


def _check_readable(job: Job, work: Work, pending: Digests, summary: Summary) -> None:
    """Workers wrote, this process reads: on a folder that each node has for itself these are not the same files."""
    there = summary.models.get(work.model.name, Statistics())
    retried = int(contains(work.failed, pending).sum())
    lost = len(work.tried.ids) - retried + len(pending) - there.done - there.failed
    if lost > 0:
        raise JobFailed(
            f"model {work.model.name}: {lost:,} written rows can't be read back from {storage.public(job.output)}; "
            "is it shared by all nodes?"
        )


def _run(
    ready: Checked, states: Sequence[Work], pending: dict[str, Digests], turn: Lease, console: Console
) -> dict[str, Tally]:
    def leave() -> None:
        turn.leave()
        _say(console, "leaving: the batches in hand are finished first; again to leave at once")

    run = current_run(ready.job.name)
    with cluster.joined(ready.job.log_format) as fixed, signals.handled(leave):
        jobs = {work.model.name: _fitted(ready.job, work.model, fixed) for work in states}
        for lacking in dict.fromkeys(cluster.shortage(job.actors) for job in jobs.values()):
            if lacking:
                _say(console, lacking)
        runs = {}
        for work in states:
            name = work.model.name
            if not len(pending[name]) or turn.leaving:
                continue
            task = Task(
                job=jobs[name],
                model=work.model,
                planner=ready.planners[name],
                shards=ready.scan.shards,
                lease=turn.owner,
                run=run,
                spool=spool(ready.job, work.model, turn.spool),
            )
            runs[name] = _run_one(task, wanted(ready.scan, pending[name]), turn, console)
        return runs


def _fitted(job: Job, model: Model, fixed: bool) -> Job:
    """The job as one model runs it: with that model's actors, which fit the cluster."""
    actors = cluster.fit(job.actors_of(model), fixed=fixed)
    check_devices(model, actors)
    return job.model_copy(update={"actors": actors})


def _run_one(task: Task, pending: Wanted, turn: Lease, console: Console) -> Tally:
    log_model("model begins", task.tags, pending=len(pending))
    with closing(tries.make(task, pending, turn, lambda line: _say(console, line))) as batches:
        tally = follow(metrics.watch(batches, task.tags, len(pending)), task.model.name, len(pending), console)
    log_model("model ends", task.tags, done=tally.done, failed=tally.failed, seconds=tally.seconds)
    return tally


def _say(console: Console, line: str) -> None:
    """As it is: brackets in a path are no markup, and a log has no width."""
    console.print(line, markup=False, soft_wrap=True, highlight=False)
