"""What can go wrong, in the user's words: a refused input, a job that ended early, a row that failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

_TOLD = "jobs.errors.JobFailed: "
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
# `user:password@` up to the last @, for a password may hold @, / and ?; but `host:port/` begins no password.
_PASSWORD = r"[^/\s:@]*:(?!\d+(?:[/?\s]|$))(?:[^\s?]*@|\S*@)"
_CREDENTIALS = re.compile(rf"(?<=://)(?:{_PASSWORD}|[^/\s?]*@)")
_QUERY = re.compile(r"(://[^\s?]*)\?[^\s'\"]*")

# Of torch on the CPU, of CUDA itself, of cuBLAS and cuDNN.
_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
# https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html: to go on, a process must be launched again.
_LOST = (
    "device-side assert triggered",
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "misaligned address",
    "unspecified launch failure",
    "uncorrectable ECC error encountered",
)


class Refused(Exception):
    """The input can't be worked with; raised before any actor starts. Exit code 2."""


class DeviceLost(Exception):
    """The process has to end, for another one to go on: see Failure.device_lost."""


class JobFailed(Exception):
    """The job ended before all rows were tried; what was written stays. Exit code 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why one row failed: class and message on one line, without credentials."""

    error: str
    out_of_memory: bool = False
    device_lost: bool = False
    """Whether the process can't use its GPU any more, whatever it does next."""


def has_password(url: str) -> bool:
    return re.search(rf"(?<=://){_PASSWORD}", url) is not None


def redact(text: str) -> str:
    """The text without what may be secret in its URLs: `user:password@`, and queries such as signed tokens."""
    return _QUERY.sub(r"\1", _CREDENTIALS.sub("", text))


def describe(error: BaseException) -> str:
    """`ClassName: message` on one line of at most 1,000 characters, without credentials."""
    message = " ".join(str(error).split())
    return redact(f"{type(error).__name__}: {message}" if message else type(error).__name__)[:1000]


def last_line(error: BaseException) -> str:
    """What is at the bottom of an error that carries a remote traceback in its text, or what a JobFailed there says.

    Ray may add lines of advice to the end of either.
    """
    lines = [line.strip() for line in _COLORS.sub("", str(error)).splitlines() if line.strip()]
    told = [line.partition(_TOLD)[2] for line in lines if _TOLD in line]
    if told:
        return redact(told[-1])[:1000]
    return redact(lines[-1] if lines else type(error).__name__)[:1000]


def attempt(work: Callable[[], Result]) -> Result | Failure:
    """The one place where one prompt = one row: whatever a row's work raises becomes that row's error."""
    try:
        return work()
    except Exception as error:
        return Failure(error=describe(error), out_of_memory=_out_of_memory(error), device_lost=_device_lost(error))


def _out_of_memory(error: Exception) -> bool:
    """Of a GPU or of the machine: where not torch's own allocator is refused, it raises another RuntimeError."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"OutOfMemoryError", "MemoryError"}) or any(text in str(error) for text in _NO_MEMORY)


def _device_lost(error: Exception) -> bool:
    """By what CUDA says after which every further call of the process fails as well, whatever it is about."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Whatever a library raises about the user's input becomes one line that starts with what was tried.

    Broad, because storage back ends and model hubs raise errors of their own making: keep only their calls inside.
    """
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"{redact(what)}: {describe(error)}") from error
