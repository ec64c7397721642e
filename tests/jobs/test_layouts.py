"""Media in shards, read back by those that such shards are for."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import datasets
import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from jobs.config.media import Media
from jobs.media import layouts
from jobs.media.codecs import settled
from jobs.media.encode import encode_batch
from jobs.media.layouts import load, sweep
from jobs.output.manifest import write_batch
from jobs.paths import Output
from jobs.rows import Made, table
from tests.jobs.test_rows import made

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
IDS = ["a.b/c", "../../etc", "plain"]


def pictured() -> list[Made]:
    return [
        made(id=row_id, prompt=f"p {row_id}", height=16, width=24, pixels=pixels.tobytes())
        for row_id, pixels in zip(IDS, PICTURES, strict=True)
    ]


def write(folder: Path, layout: str, rows: list[Made], **fields: Any) -> list[dict[str, Any]]:
    media = settled(Media.model_validate({"layout": layout, **fields}), video=bool(rows[0].num_frames))
    stored = encode_batch(table(Made, rows), Output(url=str(folder)), media)
    write_batch(stored, Output(url=str(folder)))
    found: list[dict[str, Any]] = stored.to_pylist()
    return found


@pytest.fixture(params=["files", "webdataset", "parquet"])
def layout(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_uri_leads_to_the_media_also_where_the_output_was_moved(tmp_path: Path, layout: str) -> None:
    rows = write(tmp_path / "out", layout, [*pictured(), made(id="bad", error="ValueError: no")])
    assert [row["error"] for row in rows] == ["", "", "", "ValueError: no"]
    assert rows[3]["uri"] is None
    for moved in (tmp_path / "out", tmp_path / "elsewhere"):
        if moved.name == "elsewhere":
            (tmp_path / "out").rename(moved)
        for row, picture in zip(rows, PICTURES, strict=False):
            content = load(row["uri"], Output(url=str(moved)))
            assert content is not None
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), picture)


def test_the_same_batch_is_the_same_shard(tmp_path: Path, layout: str) -> None:
    for run in range(2):
        write(tmp_path / str(run), layout, [*pictured()])
    one, other = ({p.relative_to(tmp_path / run): p.read_bytes() for p in media_files(tmp_path / run)} for run in "01")
    assert one == other
    assert len(one) == (3 if layout == "files" else 1)


def media_files(folder: Path) -> Iterator[Path]:
    return (path for path in (folder / "media").rglob("*") if path.is_file())


# It leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_webdataset_reads_a_shard(tmp_path: Path) -> None:
    rows = write(tmp_path, "webdataset", pictured())
    (shard,) = media_files(tmp_path)
    read = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("pil").to_tuple("png", "json"))
    assert [settings["id"] for _, settings in read] == IDS
    assert [settings["prompt"] for _, settings in read] == [row["prompt"] for row in rows]
    assert all(np.array_equal(np.asarray(picture), wanted) for (picture, _), wanted in zip(read, PICTURES, strict=True))
    with fsspec.open(rows[1]["uri"]) as file:
        assert hashlib.sha256(file.read()).hexdigest() == rows[1]["sha256"]


def test_datasets_shows_parquet_as_pictures(tmp_path: Path) -> None:
    write(tmp_path, "parquet", pictured())
    (shard,) = media_files(tmp_path)
    for read in (datasets.Dataset.from_parquet(str(shard), cache_dir=str(tmp_path / "cache")), shards_of(tmp_path)):
        assert isinstance(read.features["media"], datasets.Image)
        assert read["id"][:] == IDS
        assert all(np.array_equal(np.asarray(row["media"]), wanted) for row, wanted in zip(read, PICTURES, strict=True))


def shards_of(folder: Path) -> Any:
    """As somebody loads the folder, with a model's name below."""
    return datasets.load_dataset(
        "parquet", data_files=str(folder / "media/*/*.parquet"), split="train", cache_dir=str(folder / "cache2")
    )


def test_datasets_reads_tar_shards_too(tmp_path: Path) -> None:
    write(tmp_path, "webdataset", pictured())
    read = datasets.load_dataset(
        "webdataset", data_files=str(tmp_path / "media/*/*.tar"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [row["json"]["id"] for row in read] == IDS
    assert all(np.array_equal(np.asarray(row["png"]), wanted) for row, wanted in zip(read, PICTURES, strict=True))


def test_plain_pyarrow_reads_parquet(tmp_path: Path) -> None:
    write(tmp_path, "parquet", pictured(), format="webp")
    (shard,) = media_files(tmp_path)
    rows = pq.read_table(shard).to_pylist()
    assert [row["id"] for row in rows] == IDS
    for row in rows:
        assert Image.open(io.BytesIO(row["media"]["bytes"])).format == "WEBP"
        assert row["media"]["path"].endswith(".webp")
        assert not row["media"]["path"].startswith((".", "/"))


def test_videos_go_into_shards_as_well(tmp_path: Path) -> None:
    film = np.repeat(PICTURES[:1], 3, axis=0)
    for layout in ("webdataset", "parquet"):
        video = made(id="v", height=16, width=24, num_frames=3, pixels=film.tobytes())
        (row,) = write(tmp_path / layout, layout, [video])
        content = load(row["uri"], Output(url=str(tmp_path / layout)))
        assert content is not None
        with av.open(io.BytesIO(content), "r") as container:
            assert sum(1 for _ in container.decode(video=0)) == 3
    (shard,) = media_files(tmp_path / "parquet")
    features = json.loads(pq.read_schema(shard).metadata[b"huggingface"])["info"]["features"]
    assert features["media"] == {"_type": "Video"}


def test_shards_without_rows_are_swept_away(tmp_path: Path, layout: str) -> None:
    noted = write(tmp_path, layout, pictured()[:2])
    output = Output(url=str(tmp_path))
    sweep(output)
    media = settled(Media.model_validate({"layout": layout}), video=False)
    encode_batch(table(Made, pictured()[2:]), output, media)
    before = len(list(media_files(tmp_path)))
    sweep(output)
    # Files are left: their names follow from the row alone, and the row will be made again.
    assert len(list(media_files(tmp_path))) == before - (layout != "files")
    assert all(load(row["uri"], output) for row in noted)


def test_a_shard_that_cannot_be_written_fails_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(url=str(tmp_path))
    Path(output.shard("flux", IDS, ".tar")).mkdir(parents=True)
    monkeypatch.setattr("jobs.storage._write.retry.stop", lambda _: True)
    media = settled(Media(layout="webdataset"), video=False)
    rows = encode_batch(table(Made, pictured()), output, media).to_pylist()
    assert all(row["error"].startswith("WriteFailed: ") for row in rows)
    assert all(row["uri"] is None and row["sha256"] is None for row in rows)
    assert layouts.load(str(tmp_path / "none"), output) is None
