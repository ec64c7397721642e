"""How a command ends: what went wrong as one line on stderr, and the exit code that goes with it."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from jobs.errors import JobFailed, Refused, describe

DONE, SOME_FAILED, REFUSED, ALARM, INTERRUPTED = 0, 1, 2, 3, 130


@contextmanager
def ending(interrupted: str = "interrupted") -> Iterator[None]:
    """The body of a command. Whatever it raises becomes one line and a typer.Exit; a traceback goes to a file.

    `interrupted` is what to say after Ctrl-C.
    """
    try:
        yield
    except typer.Exit:
        raise
    except Refused as refused:
        raise _ended(f"refused: {refused}", REFUSED) from None
    except JobFailed as failed:
        raise _ended(f"failed: {failed}", SOME_FAILED) from None
    except KeyboardInterrupt:
        raise _ended(interrupted, INTERRUPTED) from None
    except Exception as error:
        raise _ended(f"internal error: {describe(error)}; traceback in {_kept_traceback()}", SOME_FAILED) from None


def _kept_traceback() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="jobs-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(traceback.format_exc())
    return file.name


def _ended(message: str, code: int) -> typer.Exit:
    Console(stderr=True).print(message, style="bold red", soft_wrap=True, highlight=False, markup=False)
    return typer.Exit(code)
