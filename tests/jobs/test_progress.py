import io
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from rich.console import Console
from rich.progress import Task, TaskID

from jobs.progress import Tally, _clock, follow
from jobs.rows import Written


def written(done: int, failed: int = 0) -> Written:
    return Written(done=done, failed=failed, steps=done * 28, computed=done * 14, delay=1.0)


def test_a_tally_counts_and_leaves_start_up_out_of_the_rate() -> None:
    tally = Tally().add(written(4), 61.0).add(written(3, 1), 62.0).add(written(4), 64.0)
    assert (tally.done, tally.failed, tally.rows) == (11, 1, 12)
    # 8 rows in the 4 seconds since the first batch left its actor, a second before it was written.
    assert tally.rows_per_second == 2.0
    assert tally.note(20) == "1 failed, 2 rows/s, 50% of steps skipped, 0:00:04 left"
    assert tally.note(12) == "1 failed, 2 rows/s, 50% of steps skipped, 0:01:04 in all"


def test_one_batch_has_no_rate_yet() -> None:
    tally = Tally().add(written(0, 4), 3.0)
    assert tally.rows_per_second is None
    assert tally.note(8) == "4 failed"


def test_a_log_gets_plain_lines_the_last_one_for_sure() -> None:
    log = io.StringIO()
    tally = follow(iter([written(2), written(2), written(1, 1)]), "flux", 6, Console(file=log, width=40))
    lines = log.getvalue().splitlines()
    assert (tally.done, tally.failed) == (5, 1)
    assert lines[0].startswith("flux: 2 of 6 rows, 0 failed")
    assert lines[-1].startswith("flux: 6 of 6 rows, 1 failed")
    assert "\x1b" not in log.getvalue()


def drawn(batches: Iterable[Written], total: int, width: int) -> list[str]:
    """What a terminal of that width shows at the end, line by line, for two models one after the other."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None, legacy_windows=False)
    for model in ("flux[dev]", "mochi"):
        follow(batches, model, total, console)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\r", screen.getvalue())
    return [line.rpartition("\r")[2].rstrip() for line in text.split("\n") if "mochi" in line or "flux" in line]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_a_line_per_model_with_all_figures(width: int) -> None:
    lines = drawn([written(2), written(1, 1)], 4, width)
    for line, model in ((lines[0], "flux[dev]"), (lines[-1], "mochi")):
        assert len(line) <= width
        for figure in (model, "4/4", "rows/s", "50% skipped", "1 failed", "0:00:00"):
            assert figure in line


def test_the_clock_counts_down_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally().add(written(4), 11.0).add(written(4), 21.0)
    task = Task(TaskID(0), "flux", 16, 8, _get_time=lambda: 0.0, fields={"tally": tally, "begun": 100.0})
    # 4 rows in the 11 seconds since the first batch left its actor: 8 more take 22.
    for now, shown in ((121.0, "0:00:22 left"), (131.0, "0:00:12 left"), (999.0, "0:00:00 left")):
        monkeypatch.setattr("jobs.progress.time.monotonic", lambda now=now: now)
        assert _clock(task).plain == shown
    task.fields["tally"] = Tally()
    monkeypatch.setattr("jobs.progress.time.monotonic", lambda: 165.0)
    assert _clock(task).plain == "starting 0:01:05"


def test_what_was_salvaged_counts_as_done_but_for_no_rate() -> None:
    salvaged = replace(written(8), salvaged=True)
    tally = Tally().add(salvaged, 1.0).add(written(4), 11.0).add(written(4), 21.0)
    assert (tally.done, tally.first_seconds) == (16, 10.0)
    assert tally.rows_per_second == 4 / 11


def test_nothing_to_follow_is_nothing() -> None:
    assert follow(iter(()), "flux", 0, Console(file=io.StringIO())) == Tally()
