"""What a user types after `--target` and `--method`."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from jobs.config.targets import Target
from jobs.errors import Refused
from jobs.evaluation.settings import METHODS


def asked_target(texts: Sequence[str]) -> Target:
    """From `psnr=35`, also several of them, or separated by commas. Raises Refused."""
    limits = {}
    for text in ",".join(texts).split(","):
        measure, equals, limit = text.partition("=")
        if not equals:
            raise Refused(f"--target {text}: give a measure and its limit, as in --target psnr=35")
        limits[measure.strip()] = limit.strip()
    unknown = [measure for measure in limits if measure not in Target.model_fields]
    if unknown:
        raise Refused(f"--target: no measure {', '.join(unknown)}; known: {', '.join(Target.model_fields)}")
    try:
        return Target.model_validate(limits)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"--target {first['loc'][0]}: {first['msg']}, got {first['input']!r}") from None


def asked_methods(texts: Sequence[str]) -> tuple[str, ...]:
    """Raises Refused for what is no caching method."""
    known = tuple(dict.fromkeys(method.cache for method in METHODS))
    methods = tuple(text.strip() for text in ",".join(texts).split(",") if text.strip()) if texts else ()
    if unknown := [method for method in methods if method not in known]:
        raise Refused(f"--method {', '.join(unknown)}: known: {', '.join(known)}")
    return methods
