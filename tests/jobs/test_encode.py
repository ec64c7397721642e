import hashlib
import io
import json
from pathlib import Path

import av
import numpy as np
from PIL import Image

from jobs.config.media import Media
from jobs.media.codecs import settled
from jobs.media.encode import encode_batch
from jobs.paths import Output
from jobs.rows import Made, Row, schema, table
from tests.jobs.test_rows import made

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)


PNG = Media(format="png")


def pictured(index: int, **changes: object) -> Made:
    return made(id=f"row/{index}", height=16, width=24, pixels=PICTURES[index].tobytes(), **changes)


def test_a_picture_is_stored_without_loss_and_described(tmp_path: Path) -> None:
    rows = encode_batch(table(Made, [pictured(index) for index in range(3)]), Output(url=str(tmp_path)), PNG)
    assert rows.schema == schema(Row)
    for row, picture in zip(rows.to_pylist(), PICTURES, strict=True):
        content = Path(row["uri"].removeprefix("file://")).read_bytes()
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), picture)
        assert (row["num_bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert (row["media_type"], row["error"], row["psnr"]) == ("image/png", "", None)


def test_an_audited_row_gets_its_fidelity(tmp_path: Path) -> None:
    batch = table(
        Made,
        [
            pictured(0, baseline_pixels=PICTURES[0].tobytes(), baseline_seconds=2.0),
            pictured(1, baseline_pixels=PICTURES[2].tobytes(), baseline_seconds=2.0),
        ],
    )
    same, other = encode_batch(batch, Output(url=str(tmp_path)), PNG).to_pylist()
    assert same["psnr"] == 100.0
    assert other["psnr"] < 20
    assert other["ssim"] < same["ssim"]
    assert np.array_equal(np.asarray(Image.open(other["baseline_uri"].removeprefix("file://"))), PICTURES[2])


def test_twins_are_kept_for_a_share_of_the_audited_rows(tmp_path: Path) -> None:
    batch = table(Made, [pictured(index, baseline_pixels=PICTURES[index].tobytes()) for index in range(3)])
    rows = encode_batch(batch, Output(url=str(tmp_path)), PNG, kept_share=0.0).to_pylist()
    assert [(row["psnr"], row["baseline_uri"]) for row in rows] == [(100.0, None)] * 3
    assert not (tmp_path / "audit").exists()


def test_a_video_is_stored_with_its_rate(tmp_path: Path) -> None:
    frames = np.repeat(PICTURES[:, None], 2, axis=1).reshape(-1, 3, 16, 24, 3)
    rows = [
        made(id=str(i), height=16, width=24, num_frames=3, pixels=video.tobytes(), baseline_pixels=video.tobytes())
        for i, video in enumerate(frames)
    ]
    media = settled(Media(fps=8), video=True)
    for row in encode_batch(table(Made, rows), Output(url=str(tmp_path)), media).to_pylist():
        assert (row["error"], row["media_type"], row["fps"], row["num_frames"]) == ("", "video/mp4", 8.0, 3)
        assert (row["psnr"], row["uri"][-4:], row["baseline_uri"][-4:]) == (100.0, ".mp4", ".mp4")
        with av.open(row["uri"].removeprefix("file://")) as container:
            assert sum(1 for _ in container.decode(video=0)) == 3


def test_what_is_embedded_tells_nothing_of_the_run(tmp_path: Path) -> None:
    told = Media(format="png", embed_metadata=True)
    contents = set()
    for run in range(3):
        row = pictured(0, batch=str(run), actor=str(run), batch_size=run + 1)
        (stored,) = encode_batch(table(Made, [row]), Output(url=str(tmp_path)), told).to_pylist()
        contents.add(Path(stored["uri"].removeprefix("file://")).read_bytes())
    (content,) = contents
    comment = json.loads(Image.open(io.BytesIO(content)).info["Comment"])
    assert (comment["prompt"], comment["seed"], comment["cache"]) == (row.prompt, row.seed, {})
    assert not {"negative_prompt", "actor", "batch", "batch_size", "seconds"} & set(comment)


def test_a_failed_row_passes_through(tmp_path: Path) -> None:
    (row,) = encode_batch(table(Made, [made(error="ValueError: no")]), Output(url=str(tmp_path)), PNG).to_pylist()
    assert row["error"] == "ValueError: no"
    assert row["uri"] is None
    assert not list(tmp_path.iterdir())


def test_a_row_that_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    output = Output(url=str(tmp_path))
    Path(output.media("flux", "row/1", ".png")).mkdir(parents=True)
    rows = encode_batch(table(Made, [pictured(index) for index in range(3)]), output, PNG).to_pylist()
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert rows[1]["uri"] is None
