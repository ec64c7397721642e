"""Ctrl-C and SIGTERM, the notice of a node that goes: the first one lets the batches in hand be finished."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handled(first: Callable[[], None] | None = None) -> Iterator[None]:
    """At the first signal call `first`; at the second, or where there is no `first`, raise KeyboardInterrupt.

    Only a main thread gets signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    calls = [first] if first else []

    def handle(number: int, frame: FrameType | None) -> None:
        if not calls:
            raise KeyboardInterrupt
        calls.pop()()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
