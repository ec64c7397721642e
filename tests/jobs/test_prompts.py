from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import Refused
from jobs.prompts.places import would_read
from jobs.prompts.reading import pieces, portions, read_piece, read_shard
from jobs.prompts.shards import COLUMNS, find_shards
from tests.jobs.conftest import WriteShard


def read_all(url: str) -> list[dict[str, object]]:
    shards = find_shards(url)
    return [row for piece in pieces(shards) for table in read_piece(url, piece) for row in table.to_pylist()]


def looked_at(url: str) -> None:
    """Every value of every shard."""
    for each in find_shards(url):
        list(read_shard(url, each))


@pytest.fixture
def folder(shard: WriteShard, tmp_path: Path) -> str:
    shard("a.parquet", id=["a1", "a2"], prompt=["one", "two"], seed=[7, None], note=["x", "y"])
    shard("b.parquet", prompt=["three"], height=[96.0])
    shard("deep/c.parquet", prompt=["four", "five"])
    (tmp_path / "prompts" / "README.md").write_text("not prompts")
    return str(tmp_path / "prompts")


@pytest.mark.parametrize(
    ("below", "names"),
    [
        ("", ["a.parquet", "b.parquet", "deep/c.parquet"]),
        ("/b.parquet", ["b.parquet"]),
        ("/[ab].parquet", ["a.parquet", "b.parquet"]),
        ("/*/c.parquet", ["deep/c.parquet"]),
    ],
)
def test_a_file_a_folder_and_a_glob_name_shards(folder: str, below: str, names: list[str]) -> None:
    assert [shard.name for shard in find_shards(folder + below)] == names


def test_rows_come_with_all_columns_and_an_id(folder: str) -> None:
    rows = read_all(folder)
    assert [row["id"] for row in rows] == ["a1", "a2", "b.parquet#0", "deep/c.parquet#0", "deep/c.parquet#1"]
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert [row["seed"] for row in rows] == [7, None, None, None, None]
    assert rows[2]["height"] == 96


def test_every_row_group_is_a_piece_and_rows_count_through(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": [f"p{index}" for index in range(7)]}), tmp_path / "x.parquet", row_group_size=3)
    url = str(tmp_path / "x.parquet")
    assert len(list(pieces(find_shards(url)))) == 3
    assert [row["id"] for row in read_all(url)] == [f"x.parquet#{index}" for index in range(7)]


def test_small_row_groups_are_planned_together_and_none_is_lost(shard: WriteShard, tmp_path: Path) -> None:
    for name, rows in (("a", 16_000), ("b", 500), ("c", 1), ("d", 20_000), ("e", 3)):
        shard(f"{name}.parquet", prompt=["x"] * rows)
    found = [[piece.shard for piece in portion] for portion in portions(find_shards(str(tmp_path / "prompts")))]
    assert found == [["a.parquet", "b.parquet"], ["c.parquet", "d.parquet"], ["e.parquet"]]


def test_any_file_system_will_do() -> None:
    import fsspec

    with fsspec.open("memory://prompts-here/x.parquet", "wb") as file:
        pq.write_table(pa.table({"prompt": ["one"]}), file)
    assert [row["prompt"] for row in read_all("memory://prompts-here")] == ["one"]


@pytest.mark.parametrize("text", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()])
def test_other_kinds_of_text_are_text(tmp_path: Path, text: pa.DataType) -> None:
    pq.write_table(pa.table({"prompt": pa.array(["one"]).cast(text), "id": [5]}), tmp_path / "x.parquet")
    assert [(row["id"], row["prompt"]) for row in read_all(str(tmp_path))] == [("5", "one")]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"prompts": ["x"], "id": ["a"]}, "a.parquet has no column prompt, only prompts, id; rename one"),
        ({"prompt": [3]}, "column prompt of a.parquet is int64, string is needed"),
        ({"prompt": ["x"], "height": ["tall"]}, "column height of a.parquet is string, int64 is needed"),
        ({"prompt": ["x"], "id": [1.5]}, "column id of a.parquet is double, string is needed"),
        ({"prompt": pa.array([], pa.string())}, "holds no rows"),
        ({"prompt": ["x"], "id": pa.array([None], pa.string())}, r"a.parquet has 1 row\(s\) without an id"),
        ({"prompt": ["x"], "seed": [1.5]}, "column seed of a.parquet: ArrowInvalid: Float value 1.5.* was truncated"),
    ],
)
def test_shards_that_do_not_fit_are_refused(
    shard: WriteShard, tmp_path: Path, columns: dict[str, object], sentence: str
) -> None:
    shard("a.parquet", **columns)
    url = str(tmp_path / "prompts")
    with pytest.raises(Refused, match=sentence):
        looked_at(url)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_that_torch_would_cut_short_are_refused(shard: WriteShard, tmp_path: Path, seed: int) -> None:
    shard("a.parquet", prompt=["x", "y"], seed=[2**32 - 1, seed])
    url = str(tmp_path / "prompts")
    with pytest.raises(Refused, match=rf"seed {seed} in a\.parquet is not between 0 and 4294967295"):
        looked_at(url)


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["prompt", "prompt"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(Refused, match=r"a\.parquet has 2 columns prompt; rename or drop one"):
        find_shards(str(tmp_path))


def test_a_page_or_an_id_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    ids = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": ["x"], "id": ids}), file)
    with pytest.raises(Refused, match=r"can't read a\.parquet: ArrowInvalid.*UTF8"):
        looked_at(str(tmp_path))
    pq.write_table(pa.table({"prompt": ["x"] * 999, "id": [f"row-{index}" for index in range(999)]}), file)
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    file.write_bytes(content)
    with pytest.raises(Refused, match=r"can't read a\.parquet: OSError"):
        looked_at(str(tmp_path))


def test_hidden_folders_are_skipped(folder: str, shard: WriteShard) -> None:
    shard(".hidden/x.parquet", prompt=["no"])
    assert len(find_shards(folder)) == 3


@pytest.mark.parametrize(
    ("prompts", "path", "read"),
    [
        ("", "/manifest/0.parquet", True),
        ("", "/out/manifest/0.parquet", True),
        ("", "/.out/manifest/0.parquet", False),
        ("", "-out/manifest/0.parquet", False),
        ("/*.parquet", "/out/manifest/0.parquet", False),
        ("/**/*.parquet", "/out/manifest/0.parquet", True),
        ("/a.parquet", "/out/manifest/0.parquet", False),
    ],
)
def test_what_would_be_read_as_prompts_is_known(folder: str, prompts: str, path: str, read: bool) -> None:
    assert would_read(folder + prompts, folder + path) is read


def test_a_signed_url_is_no_glob_and_its_signature_stays_out_of_ids(shard: WriteShard, tmp_path: Path) -> None:
    shard("four.parquet", prompt=["one"], seed=[1])
    handler = partial(Quiet, directory=str(tmp_path / "prompts"))
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/four.parquet?sig=SECRET"
        shards = find_shards(url)
        assert [each.name for each in shards] == ["four.parquet"]
        assert [row["id"] for row in read_all(url)] == ["four.parquet#0"]
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_shard_that_is_not_parquet_is_named(folder: str, tmp_path: Path) -> None:
    (tmp_path / "prompts" / "z.parquet").write_text("id,prompt\n1,a fox\n")
    with pytest.raises(Refused, match=r"z.parquet is not a readable Parquet file"):
        find_shards(folder)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("{tmp}/nowhere", "can't list .*nowhere: FileNotFoundError"),
        ("{tmp}/*.parquet", "no Parquet file at"),
        ("{tmp}", "no Parquet file at"),
        ("bogus://x", "can't list bogus://x: ValueError: Protocol not known: bogus"),
    ],
)
def test_places_without_shards_are_refused(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        find_shards(url.format(tmp=tmp_path))


def test_a_shard_that_cannot_be_read_is_left_out_when_asked(folder: str, tmp_path: Path) -> None:
    (tmp_path / "prompts" / "aa.parquet").write_bytes(b"PAR1 cut short")
    shards = find_shards(folder, skip_unreadable=True)
    assert [bool(each.problem) for each in shards] == [False, True, False, False]
    assert "aa.parquet is not a readable Parquet file" in shards[1].problem
    assert [piece.shard for piece in pieces(shards)] == ["a.parquet", "b.parquet", "deep/c.parquet"]
