import numpy as np
import pytest

from jobs.config.model import Model
from jobs.output.manifest import Tried
from jobs.prompts.scan import Scan
from jobs.work import Work, _work, to_do

Digests = np.ndarray[tuple[int], np.dtype[np.uint64]]


def digests(*values: int) -> Digests:
    return np.array(values, dtype=np.uint64)


def work(ids: Digests, says: Digests, tried: Tried) -> Work:
    found = Scan(shards=(), ids=ids, fingerprints=says, shapes={})
    return _work(Model.model_validate({"pipeline": "demo/flux"}), tried, found)


def test_each_row_is_in_one_state_and_edited_ones_are_told_beside() -> None:
    # 1 was never tried, 2 is done, 3 done from another prompt, 4 failed, 5 failed from another prompt, 9 stands in no
    # shard any more.
    tried = Tried(
        ids=digests(2, 3, 4, 5, 9),
        fingerprints=digests(20, 31, 40, 51, 90),
        failed=np.array([False, False, True, True, False]),
    )
    found = work(digests(1, 2, 3, 4, 5), digests(10, 20, 30, 40, 50), tried)
    assert found.pending.tolist() == [1]
    assert found.done.tolist() == [2, 3]
    assert found.failed.tolist() == [4, 5]
    assert found.edited.tolist() == [3, 5]
    assert found.edited_done.tolist() == [3]
    assert to_do(found, retry_failed=False).tolist() == [1, 5]
    assert to_do(found, retry_failed=True).tolist() == [4, 5]


@pytest.mark.parametrize("ids", [digests(), digests(1), digests(1, 2)])
def test_where_nothing_was_tried_all_is_to_do(ids: Digests) -> None:
    tried = Tried(ids=digests(), fingerprints=digests(), failed=np.empty(0, np.bool_))
    found = work(ids, ids, tried)
    assert found.pending.tolist() == ids.tolist()
    assert not len(found.done) + len(found.failed) + len(found.edited)


def test_where_no_prompts_are_left_nothing_is_to_do() -> None:
    tried = Tried(ids=digests(7), fingerprints=digests(7), failed=np.array([False]))
    found = work(digests(), digests(), tried)
    assert not len(found.done) + len(found.failed) + len(found.edited) + len(found.pending)
