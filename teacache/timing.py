"""Seconds of work on a device, without waiting for the device while it works."""

from __future__ import annotations

import time

import torch


class Stopwatch:
    """Adds up spans of time. On CUDA the spans are pairs of events, so that the host never waits inside a run;
    `seconds` does. On other devices it is the host's clock."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._seconds = 0.0
        self._started = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def start(self) -> None:
        if self._cuda:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record(torch.cuda.current_stream(self._device))
            self._events.append((begin, end))
        else:
            self._started = time.perf_counter()

    def stop(self) -> None:
        if self._cuda:
            self._events[-1][1].record(torch.cuda.current_stream(self._device))
        else:
            self._seconds += time.perf_counter() - self._started

    @property
    def seconds(self) -> float:
        for begin, end in self._events:
            end.synchronize()
            self._seconds += begin.elapsed_time(end) / 1000.0
        self._events.clear()
        return self._seconds
