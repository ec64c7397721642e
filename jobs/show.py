"""One row for a person: its columns, its picture, and the command that makes it again."""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import fields

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs import storage, terminal
from jobs.again import make_again
from jobs.errors import Failure, attempt, redact, refusing
from jobs.media import layouts
from jobs.media.formats import FORMATS
from jobs.paths import Output
from jobs.report.text import visible
from jobs.rows import Row


def shown(row: Row, output: Output, typed: str, console: Console) -> None:
    """Print it. `typed` is the output as the user named it, for the command."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for column in fields(row):
        value = getattr(row, column.name)
        if value is not None and value != "":
            table.add_row(column.name, Text(visible(str(value)), overflow="fold"))
    console.print(table)
    if row.uri and console.is_terminal:
        _draw(row, output, console)
    if not row.error:
        console.print("\nmake it again:", style="bold")
        _say(console, command(row, typed))


def command(row: Row, typed: str) -> str:
    """What to type to have the row made once more."""
    suffix = next(name for name, kind in FORMATS.items() if kind.media_type == row.media_type)
    file = f"again.{suffix}"
    return f"python -m jobs show --model {row.model} --again {file} -- {quoted(redact(typed))} {quoted(row.id)}"


def quoted(text: str) -> str:
    """For a POSIX shell; what can't be printed as bash and zsh spell it, so that no id drives the terminal."""
    if text.isprintable():
        return shlex.quote(text)
    shown = (each if each.isprintable() else "".join(f"\\x{byte:02x}" for byte in each.encode()) for each in text)
    return "$'" + "".join({"'": "\\'", "\\": "\\\\"}.get(each, each) for each in shown) + "'"


def make(row: Row, output: Output, target: str, console: Console) -> bool:
    """Make the row's media again, into a file; says and gives whether it is the same to the byte."""
    content = make_again(row, output)
    with refusing(f"can't write {target}"):
        storage.write(storage.absolute(target), content)
    same = hashlib.sha256(content).hexdigest() == row.sha256
    verdict = "the same bytes as in the manifest" if same else "other bytes than in the manifest"
    _say(console, f"{storage.public(target)}: {verdict} (sha256 {hashlib.sha256(content).hexdigest()})")
    return same


def _draw(row: Row, output: Output, console: Console) -> None:
    drawn = attempt(lambda: terminal.still(layouts.load(str(row.uri), output) or b"", str(row.media_type)))
    if isinstance(drawn, Failure):
        _say(console, f"(its media can't be shown: {drawn.error})")
        return
    if escape := terminal.picture_escape(drawn, os.environ):
        console.file.write(escape)
    else:
        console.print(terminal.half_blocks(drawn, console.width))


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, soft_wrap=True, highlight=False)
