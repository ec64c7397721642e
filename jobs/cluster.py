"""The Ray cluster: joined or started, and asked whether the job's actors fit on it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import services

from jobs.config.job import Actors, LogFormat
from jobs.errors import Refused, describe, redact
from jobs.logs import logging_config

_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}

_TO_ANSWER = 10.0
"""Seconds in which a cluster takes a connection."""


@contextmanager
def joined(log_format: LogFormat = "text") -> Iterator[bool]:
    """Join the cluster of RAY_ADDRESS or of this machine, else start one here and stop it at the end.

    Gives whether its size is fixed: one started here can't grow. Raises Refused if there is none at RAY_ADDRESS.
    """
    if ray.is_initialized():
        yield False
        return
    options = {**_QUIET, "logging_config": logging_config(log_format)}
    fixed = not _join(options)
    if fixed:
        ray.init(address="local", include_dashboard=False, **options)
    try:
        yield fixed
    finally:
        ray.shutdown()


def _join(options: dict[str, Any]) -> bool:
    address = os.environ.get("RAY_ADDRESS") or None
    try:
        place = _found(address)
        if place:
            ray.init(address=place, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address:
            raise Refused(f"no Ray cluster at RAY_ADDRESS={redact(address)}: {describe(error)}") from None
        if not isinstance(error, ConnectionError):
            raise
        return False
    return place is not None


def _found(address: str | None) -> str | None:
    """Where to join: at RAY_ADDRESS, or where the last `ray start` of this machine has noted; None for nowhere.

    Raises ConnectionError if nothing listens there: Ray itself would go on trying for minutes.
    """
    if address and "://" in address:
        return address
    place = services.canonicalize_bootstrap_address(address)  # type: ignore[arg-type]  # it takes None
    if place:
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_TO_ANSWER).close()
        except OSError:
            raise ConnectionError(f"nothing answers at {place}") from None
    return place


def room(kinds: Sequence[Actors]) -> tuple[str, ...]:
    """Whether the actors of each model fit, which run one model after the other; a sentence or two, nothing started.

    Raises Refused if RAY_ADDRESS is wrong.
    """
    if not _join({**_QUIET}):
        return tuple(dict.fromkeys(_room_here(actors) for actors in kinds))
    try:
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = float(there.get("GPU", 0.0) > 0)
        settled = [a if a.num_gpus is not None else a.model_copy(update={"num_gpus": gpus}) for a in kinds]
        lacking = tuple(dict.fromkeys(filter(None, map(shortage, settled))))
        return lacking or ("the cluster has room", *_in_use(there))
    finally:
        ray.shutdown()


def _room_here(actors: Actors) -> str:
    cpus, wanted = os.cpu_count() or 1, actors.count * actors.num_cpus + 1
    verdict = "has room" if wanted <= cpus and not actors.num_gpus else "may have no room: lower actors.count"
    return f"no Ray cluster runs here; one started on this machine with {cpus} CPUs {verdict}"


def _in_use(there: Mapping[str, float]) -> list[str]:
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    taken = {name: there.get(name, 0.0) - free.get(name, 0.0) for name in ("CPU", "GPU")}
    told = " and ".join(f"{count:g} of {there[name]:g} {name}s" for name, count in taken.items() if count > 0)
    return [f"other work takes {told} of it at the moment"] if told else []


def shortage(actors: Actors) -> str | None:
    """What a cluster that may grow lacks by now, None if the actors fit: an autoscaler may bring it, or nobody."""
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    wanted_cpus, wanted_gpus = actors.count * actors.num_cpus, actors.count * (actors.num_gpus or 0)
    if wanted_cpus + 1 <= cpus and wanted_gpus <= gpus:
        return None
    return (
        f"waiting for the cluster to grow: actors need {wanted_cpus:g} CPUs and {wanted_gpus:g} GPUs, planning 1 CPU; "
        f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs by now; if it can't grow, lower actors.count or num_cpus"
    )


def fit(actors: Actors, *, fixed: bool) -> Actors:
    """The actors with their GPUs settled. Raises Refused if a cluster of fixed size has no room for them.

    Planning needs a CPU that no actor holds: without one the job would wait for ever.
    """
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    actors = actors.model_copy(update={"num_gpus": float(gpus > 0) if actors.num_gpus is None else actors.num_gpus})
    wanted_cpus, wanted_gpus = actors.count * actors.num_cpus, actors.count * (actors.num_gpus or 0)
    if not fixed:
        return actors
    if wanted_gpus > gpus:
        raise Refused(f"actors: {actors.count} x {actors.num_gpus:g} GPUs wanted, {gpus:g} there; lower actors.count")
    if wanted_cpus + 1 > cpus:
        raise Refused(
            f"actors: {actors.count} x {actors.num_cpus:g} CPUs leave none of {cpus:g} for planning, which needs 1; "
            "lower actors.count or actors.num_cpus (0 lets an actor share)"
        )
    return actors
