from datetime import datetime, timezone

import pyarrow as pa

from jobs.rows import Made, Row, Sample, Written, schema, table, values

NEEDED = (
    "id model prompt negative_prompt seed height width num_frames num_inference_steps guidance_scale uri media_type "
    "num_bytes sha256 seconds denoise_seconds steps computed cache baseline_seconds psnr ssim batch_size actor "
    "versions created_at error"
)


def made(**changes: object) -> Made:
    fields: dict[str, object] = {
        "id": "a",
        "prompt": "a fox",
        "negative_prompt": None,
        "seed": 2**53 - 1,
        "height": 8,
        "width": 8,
        "num_frames": None,
        "num_inference_steps": 2,
        "guidance_scale": 3.5,
        "model": "flux",
        "cache": "{}",
        "batch_size": 1,
        "batch": "b",
        "actor": "actor",
        "num_gpus": 0.0,
        "num_cpus": 1.0,
        "versions": "{}",
        "created_at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
    }
    return Made(**{**fields, **changes})  # type: ignore[arg-type]


def written(**changes: object) -> Written:
    return Written(**{"done": 0, "failed": 0, "steps": 0, "computed": 0, "delay": 0.0, **changes})  # type: ignore[arg-type]


def test_the_manifest_has_the_columns_that_scripts_rely_on() -> None:
    assert set(NEEDED.split()) <= set(schema(Row).names)


def test_types_follow_from_the_dataclass() -> None:
    columns = schema(Made)
    assert columns.field("height").type == pa.int64()
    assert columns.field("psnr").type == pa.float64()
    assert columns.field("pixels").type == pa.large_binary()
    assert columns.field("created_at").type == pa.timestamp("us", tz="UTC")


def test_a_row_survives_arrow() -> None:
    rows = [made(id="a"), made(id="b", pixels=b"\x00\x01", psnr=100.0), made(id="c", error="ValueError: no")]
    assert [Made(**row) for row in table(Made, rows).to_pylist()] == rows


def test_counts_survive_arrow() -> None:
    (counts,) = table(Written, [written(failed=2, errors=("KeyError", "OSError"))]).to_pylist()
    assert counts["errors"] == ["KeyError", "OSError"]


def test_samples_share_a_call_if_its_arguments_are_equal() -> None:
    one = Sample(**values(made(), Sample))
    assert one.call == Sample(**values(made(id="b", prompt="x", seed=1), Sample)).call
    assert one.call != Sample(**values(made(height=16), Sample)).call
    assert one.call != Sample(**values(made(negative_prompt=""), Sample)).call
