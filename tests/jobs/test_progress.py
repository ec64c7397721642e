import io

from rich.console import Console

from jobs.progress import Tally, follow
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


def test_a_terminal_gets_a_bar() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    follow(iter([written(2), written(1)]), "flux", 3, console)
    assert "3/3" in screen.getvalue()
    assert "0 failed" in screen.getvalue()


def test_nothing_to_follow_is_nothing() -> None:
    assert follow(iter(()), "flux", 0, Console(file=io.StringIO())) == Tally()
