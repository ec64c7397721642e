from pathlib import Path

import pytest

from jobs import storage
from jobs.output import merge
from jobs.output.manifest import read_batches, write_batch
from jobs.paths import Output
from jobs.rows import Row, table
from tests.jobs.test_manifest import row


@pytest.fixture(params=["{tmp}", "memory://test-merge"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    output = Output(url=f"{request.param.format(tmp=tmp_path)}/{tmp_path.name}")
    for number in range(7):
        write_batch(table(Row, [row(f"a{number}"), row(f"b{number}", error="x" if number < 5 else "")]), output)
    return output


def ids(output: Output) -> list[str]:
    return sorted(each["id"] for batch in read_batches(output, ["id"]) for each in batch.to_pylist())


def files(folder: str) -> int:
    fs, path = storage.open_url(folder)
    return len(fs.ls(path))


def test_few_files_are_left_alone(output: Output) -> None:
    merge.merge(output)
    assert (files(output.manifest), files(output.failed)) == (7, 5)


def test_many_small_files_become_one_with_the_same_rows(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids(output)
    assert len(before) == 14
    monkeypatch.setattr(merge, "AT_LEAST", 6)
    merge.merge(output)
    assert (files(output.manifest), files(output.failed)) == (1, 5)
    assert ids(output) == before


def test_a_merge_that_is_cut_short_loses_and_doubles_nothing(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids(output)
    monkeypatch.setattr(merge, "AT_LEAST", 6)
    removed: list[str] = []
    remove = storage.remove

    def cut(url: str) -> None:
        if len(removed) == 3:
            raise KeyboardInterrupt
        removed.append(url)
        remove(url)

    monkeypatch.setattr(merge, "_THREADS", 1)
    monkeypatch.setattr(storage, "remove", cut)
    with pytest.raises(KeyboardInterrupt):
        merge.merge(output)
    assert files(output.manifest) > 1
    assert ids(output) == before
    monkeypatch.undo()
    monkeypatch.setattr(merge, "AT_LEAST", 2)
    merge.merge(output)
    assert files(output.manifest) == 1
    assert ids(output) == before


def test_large_files_are_left_alone(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "AT_LEAST", 2)
    monkeypatch.setattr(merge, "_LARGE", 1)
    merge.merge(output)
    assert (files(output.manifest), files(output.failed)) == (7, 5)
