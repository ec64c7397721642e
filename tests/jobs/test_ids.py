import numpy as np
import pytest

from jobs.ids import contains, digests, fraction_for, looked_up, seed_for


def test_a_seed_follows_from_job_seed_and_id_for_ever() -> None:
    # sha256("seed:0:demo-00"), first 32 bits: a change here changes every picture of every job.
    assert seed_for(0, "demo-00") == 0x1DBC01BBDA06EF >> 21
    assert seed_for(0, "demo-00") != seed_for(1, "demo-00")
    assert len({seed_for(0, f"row-{index}") for index in range(1000)}) == 1000
    assert all(0 <= seed_for(0, f"row-{index}") < 2**32 for index in range(1000))


@pytest.mark.parametrize("share", [0.02, 0.25, 0.9])
def test_a_share_of_rows_is_that_share(share: float) -> None:
    chosen = sum(fraction_for("audit", f"row-{index}") < share for index in range(10_000))
    # Four standard deviations of a binomial.
    assert chosen == pytest.approx(10_000 * share, abs=4 * (10_000 * share * (1 - share)) ** 0.5)


def test_contains_finds_just_the_ids_that_are_there() -> None:
    there = np.sort(digests(["a", "b", "c"]))
    assert contains(there, digests(["c", "d", "a", ""])).tolist() == [True, False, True, False]
    assert contains(digests([]), digests(["a"])).tolist() == [False]
    assert contains(there, digests([])).tolist() == []


def test_what_is_said_of_an_id_is_found_among_many() -> None:
    ids = np.sort(digests(str(number) for number in range(300_000)))
    wanted = np.random.default_rng(0).permutation(ids)
    assert np.array_equal(looked_up(ids, ~ids, wanted), ~wanted)
    assert contains(ids[::2], wanted).sum() == 150_000
    assert np.array_equal(np.sort(wanted[contains(ids[::2], wanted)]), ids[::2])
