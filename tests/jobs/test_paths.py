from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.paths import Output, packaged, table_name

OUT = Output(url="/out")


@given(st.text(max_size=200))
def test_no_id_leaves_the_media_folder(row_id: str) -> None:
    path = PurePosixPath(OUT.media("flux", row_id, ".png"))
    assert path.parts[:4] == ("/", "out", "media", "flux")
    assert len(path.parts) == 6
    assert ".." not in path.parts
    assert path.name.isascii()
    assert len(path.name) < 80


@pytest.mark.parametrize("ids", [("a/b", "a-b", "a b"), ("A", "a", "a "), ("../../etc", "..", "")])
def test_ids_that_look_alike_get_files_of_their_own(ids: tuple[str, ...]) -> None:
    paths = {OUT.media("flux", row_id, ".png").lower() for row_id in ids}
    assert len(paths) == 3


def test_a_media_path_is_a_function_of_model_and_id() -> None:
    assert OUT.media("flux", "fox-1", ".png") == OUT.media("flux", "fox-1", ".png")
    assert OUT.media("flux", "fox-1", ".png") != OUT.media("mochi", "fox-1", ".png")
    assert "/fox-1-" in OUT.media("flux", "fox-1", ".png")


def test_a_table_is_named_after_its_rows() -> None:
    names = {table_name("m", ["a", "b"]), table_name("m", ["a"]), table_name("n", ["a", "b"])}
    assert len(names) == 3
    assert table_name("m", ["a", "b"]) in names


def test_only_demo_names_are_packaged() -> None:
    assert Path(packaged("demo/flux"), "model_index.json").is_file()
    assert packaged("owner/name") == "owner/name"
    assert packaged("demo/nothing-here") == "demo/nothing-here"
