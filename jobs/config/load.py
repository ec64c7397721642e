"""From a YAML file and `--dotted.key value` overrides to a checked Job; every mistake becomes one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import ValidationError

from jobs.config.job import SECTIONS, Job
from jobs.errors import Refused, describe, refusing
from jobs.storage import read


class _Loader(yaml.SafeLoader):
    """YAML without dates: 2024-01-01 is a text here, for no field of a job is a date."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

DEMO_JOBS = {file.stem: file for file in sorted((Path(__file__).parents[1] / "demo").glob("*.yaml"))}
DEMO = "flux"


def load_job(arguments: Sequence[str]) -> Job:
    """The job that `[job.yaml ...] [--field value ...]` describes; a packaged demo if no file is named. Raises Refused.

    A second file says what differs from the first.
    """
    urls, overrides = split_arguments(arguments)
    if not urls:
        file, overrides = _demo_job(overrides)
    fields: dict[str, Any] = {}
    for url in urls or [file]:
        differing = _read_yaml(url)
        if fields and {"name", "prompts", "output"} <= differing.keys():
            raise Refused(f"one job at a time, got {' '.join(urls)}; a second file says only what differs")
        fields = _merged(fields, differing)
    for key, value in overrides:
        _override(fields, key, value)
    try:
        return Job.model_validate(fields)
    except ValidationError as error:
        raise Refused(f"{' '.join(urls) or 'job'}: {'; '.join(_sentences(error))}") from None


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The job files, if any, and the overrides. Every option takes a value: `--key value` or `--key=value`."""
    files: list[str] = []
    overrides: list[tuple[str, str]] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("--"):
            files.append(argument)
            continue
        key, equals, value = argument[2:].partition("=")
        if not equals:
            following = next(rest, None)
            if following is None or following.startswith("--"):
                raise Refused(f"--{key} needs a value, as in --{key} VALUE")
            value = following
        overrides.append((key, value))
    return files, overrides


def _demo_job(overrides: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    """The packaged job of the demo model that `--model` names, and the overrides; null is the override that it says."""
    name = dict(overrides).get("model", "null")
    if name == "null":
        return str(DEMO_JOBS[DEMO]), overrides
    if name not in DEMO_JOBS:
        raise Refused(f"--model {name}: without a job file this names a packaged demo: {', '.join(DEMO_JOBS)}")
    return str(DEMO_JOBS[name]), [override for override in overrides if override[0] != "model"]


def _read_yaml(url: str) -> dict[str, Any]:
    with refusing(f"{url}: can't read the job file"):
        try:
            content = read(url)
        except IsADirectoryError:
            raise Refused(f"{url}: is a folder; give the job's YAML file in it") from None
    if content is None:
        raise Refused(f"{url}: there is no such job file")
    try:
        fields = yaml.load(content, _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refused(f"{url}: not valid YAML: {describe(error)}") from None
    if not isinstance(fields, dict):
        raise Refused(f"{url}: a job file is a mapping of keys to values, got {type(fields).__name__}")
    return {str(key): value for key, value in fields.items()}


def _merged(fields: dict[str, Any], differing: dict[str, Any]) -> dict[str, Any]:
    """Mappings key by key; a `cache` as a whole, for its other fields belong to its method."""
    merged = dict(fields)
    for key, value in differing.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "cache"
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _override(fields: dict[str, Any], dotted: str, text: str) -> None:
    *sections, last = dotted.split(".")
    target = fields
    for section in sections:
        inner = target.get(section)
        target[section] = dict(inner) if isinstance(inner, dict) else {}
        target = target[section]
    target[last] = _value(text, _kinds(sections, last))


def _kinds(sections: Sequence[str], name: str) -> set[Any]:
    """The types that a field takes; none are known for fields that only a cache or a pipeline knows."""
    owner = SECTIONS.get(sections[-1]) if sections else Job
    field = owner.model_fields.get(name) if owner else None
    if field is None:
        return set()
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return {type(choice) for choice in get_args(annotation)}
    return set(get_args(annotation)) or {annotation}


def _value(text: str, kinds: set[Any]) -> Any:
    """Text as it stands where text is wanted; else numbers, lists and null as YAML reads them, and text if it can't."""
    if str in kinds and not (type(None) in kinds and text == "null"):
        return text
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def _sentences(error: ValidationError) -> list[str]:
    return [_sentence(details["type"], details["loc"], details["msg"], details["input"]) for details in error.errors()]


def _sentence(kind: str, location: tuple[int | str, ...], message: str, value: object) -> str:
    place = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return f"{place} is missing"
    if kind == "string_type":
        message += " (put quotes around it)"
    message = message.removeprefix("Value error, ")
    return f"{place}: {message}, got {value!r}" if kind != "value_error" else f"{place}: {message}".removeprefix(": ")


def _unknown_key(location: tuple[int | str, ...]) -> str:
    known = _known_keys(location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    return f"unknown key {'.'.join(str(part) for part in location)} ({hint})"


def _known_keys(sections: tuple[int | str, ...]) -> list[str]:
    names = [part for part in sections if isinstance(part, str)]
    return list((SECTIONS[names[-1]] if names else Job).model_fields)
