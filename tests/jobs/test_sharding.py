import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import Refused
from jobs.prompts.scan import check_duplicates, scan
from jobs.prompts.sharding import shard_prompts
from jobs.prompts.shards import find_shards


def rows(folder: Path) -> list[dict[str, object]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_lines_of_a_text_become_shards_that_generate_takes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffa fox\r\n\n  \na hare, \u202e<b>\na fox\nan owl".encode())
    told = shard_prompts(str(tmp_path / "a.txt"), str(tmp_path / "out"), shard_size=2)
    assert (told.rows, told.shards, told.duplicates, told.first_duplicate) == (3, 2, 1, "a fox")
    assert [row["prompt"] for row in rows(tmp_path / "out")] == ["a fox", "a hare, \u202e<b>", "an owl"]
    shards = find_shards(str(tmp_path / "out"))
    assert [(shard.name, shard.num_rows) for shard in shards] == [
        ("prompts-00000.parquet", 2),
        ("prompts-00001.parquet", 1),
    ]
    check_duplicates(str(tmp_path / "out"), scan(str(tmp_path / "out"), shards))


def test_the_same_content_has_the_same_id_in_every_format_and_order(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"caption": 'a, "fox"', "seed": 3, "note": "x"},
        {"caption": "a hare", "seed": None, "note": "y"},
    ]
    (tmp_path / "a.csv").write_text('seed,caption,note\n3,"a, ""fox""",x\n,a hare,y\n')
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps(record) for record in records[::-1]))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "c.parquet")
    (tmp_path / "d.tsv.gz").write_bytes(gzip.compress(b'caption\tseed\n"a, ""fox"""\t3\na hare\t\n'))
    found = []
    for name in ("a.csv", "b.jsonl", "c.parquet", "d.tsv.gz"):
        told = shard_prompts(str(tmp_path / name), str(tmp_path / name[0]), column="caption")
        assert told.left_out == (set() if name[0] == "d" else {"note"})
        found.append({row["id"]: (row["prompt"], row["seed"]) for row in rows(tmp_path / name[0])})
    assert found[0] == found[1] == found[2] == found[3]
    assert sorted(found[0].values(), key=str) == [("a hare", None), ('a, "fox"', 3)]


def test_rows_that_differ_in_their_seed_only_are_two(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,seed\na fox,1\na fox,2\na fox,1\n")
    told = shard_prompts(str(tmp_path / "a.csv"), str(tmp_path / "out"))
    assert (told.rows, told.duplicates) == (2, 1)


def test_ids_that_are_given_stay_and_a_folder_is_one_input(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id,prompt\n007,a fox\n,a hare\n3,\n")
    (tmp_path / "in" / "b.txt").write_text("an owl\n")
    (tmp_path / "in" / "README").write_text("no prompts")
    told = shard_prompts(str(tmp_path / "in"), str(tmp_path / "out"))
    assert (told.rows, told.empty) == (3, 1)
    assert {row["prompt"]: len(str(row["id"])) for row in rows(tmp_path / "out")} == {
        "a fox": 3,
        "a hare": 16,
        "an owl": 16,
    }


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "id,prompt\n1,a\n2,b\n1,c\n", "id '1' stands twice"),
        ("a.csv", "text\nx\n", "has no column prompt, only text; name it by --column"),
        ("a.csv", "prompt,seed\na,many\n", "row 2: ValueError: could not convert"),
        ("a.csv", "prompt,seed\na,1.5\n", "row 2: ValueError: '1.5' is no whole number"),
        ("a.csv", 'prompt\n"a\n', "can't read .*unexpected end of data"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt":\n', "line 2 is no JSON"),
        ("a.jsonl", '["a"]\n', "line 1 is no JSON object but list"),
        ("a.jsonl", '{"prompt": ["a"]}\n', "row 1: ValueError: list is no text"),
        ("a.jsonl", '{"prompt": "\\ud800"}\n', "row 1: UnicodeEncodeError"),
        ("a.txt", "\n \n", "holds no prompts"),
        ("a.txt", b"a\xff\n", "can't read .*UnicodeDecodeError"),
        ("a.doc", "a", r"what is it\? its name should end with one of .txt"),
        ("a.parquet", "a", "can't read"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_and_leaves_nothing(
    name: str, content: str | bytes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Refused, match=sentence) as refused:
        shard_prompts(str(tmp_path / name), str(tmp_path / "out"), shard_size=1)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("out/*"))


def test_a_target_that_holds_shards_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a fox")
    shard_prompts(str(tmp_path / "a.txt"), str(tmp_path / "out"))
    with pytest.raises(Refused, match=r"holds 1 Parquet file\(s\) already"):
        shard_prompts(str(tmp_path / "a.txt"), str(tmp_path / "out"))
    with pytest.raises(Refused, match="is a file; give a folder"):
        shard_prompts(str(tmp_path / "a.txt"), str(tmp_path / "a.txt"))
    with pytest.raises(Refused, match="no file there"):
        shard_prompts(str(tmp_path / "nothing.txt"), str(tmp_path / "other"))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1).filter(lambda text: bool(text.strip())), min_size=1, max_size=20))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, prompts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts))
    told = shard_prompts(str(folder / "a.jsonl"), str(folder / "out"), shard_size=7)
    assert [row["prompt"] for row in rows(folder / "out")] == list(dict.fromkeys(prompts))
    assert told.rows + told.duplicates == len(prompts)


def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,note\na fox,x\na fox,y\n,z\n")
    result = CliRunner().invoke(app, ["prompts", str(tmp_path / "a.csv"), str(tmp_path / "out")])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"1 prompts in 1 shard(s), file://{tmp_path}/out",
        "1 duplicate(s) left out, the first: a fox",
        "1 row(s) without a prompt left out",
        "columns left out: note",
    ]
    result = CliRunner().invoke(app, ["prompts", str(tmp_path / "a.csv"), str(tmp_path / "out")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
