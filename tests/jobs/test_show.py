"""A job's rows without Ray: made, shown, and made again by the very command that is shown."""

import io
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from jobs.actors.generate import Generate
from jobs.again import find_rows, make_again
from jobs.cli import app
from jobs.config.job import Actors, Job
from jobs.errors import Refused
from jobs.media.codecs import settled
from jobs.media.encode import encode_batch
from jobs.output import identity
from jobs.output.manifest import write_batch
from jobs.paths import Output
from jobs.rows import Row, Sample, table, values
from jobs.show import quoted, shown
from tests.jobs.conftest import MODEL
from tests.jobs.test_rows import made

IDS = ["a", "it's \x1b[31m$(touch /tmp/owned)\n\u202e", "c"]


def write(job: Job) -> Output:
    """What a run of the job on three rows and one that fails leaves."""
    output = Output(url=job.output)
    identity.claim(job)
    samples = [
        Sample(
            **values(made(id=row_id, prompt=f"a red ring {row_id}", height=64, width=64, num_inference_steps=4), Sample)
        )
        for row_id in IDS
    ]
    model = job.each_model[0]
    generate = Generate(model=model, generation=job.generation, actors=Actors(num_gpus=0), audit_fraction=0.0)
    rows = generate(table(Sample, samples))
    write_batch(encode_batch(rows, output, settled(job.media, video=False)), output)
    write_batch(table(Row, [Row(**values(made(id="bad", error="ValueError: no"), Row))]), output)
    return output


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Output:
    fields = {
        "name": "test",
        "prompts": "demo/prompts",
        "output": str(tmp_path_factory.mktemp("show") / "out"),
        "model": MODEL,
        "generation": {"num_inference_steps": 3, "width": 64, "height": 64, "max_sequence_length": 16},
        "media": {"layout": "webdataset", "embed_metadata": True},
    }
    return write(Job.model_validate(fields))


@pytest.fixture
def output(made_once: Output, tmp_path: Path) -> Output:
    """A copy: an output may be moved."""
    shutil.copytree(made_once.url, tmp_path / "out")
    return Output(url=str(tmp_path / "out"))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["show", *map(str, arguments)], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout + result.stderr


def test_a_row_is_shown_and_its_command_makes_the_same_bytes(output: Output, tmp_path: Path) -> None:
    code, text = run(output.url, IDS[1])
    assert code == 0
    assert "a red ring it's \\u001b[31m$(touch /tmp/owned) \\u202e" in text
    assert not any(mark in text for mark in ("\x1b", "\u202e"))
    command = text.splitlines()[-1]
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert f"file://{tmp_path}/again.png: the same bytes as in the manifest" in ended.stdout
    assert "Loading pipeline" not in ended.stderr
    assert not Path("/tmp/owned").exists()


def test_other_bytes_are_told_apart_and_a_row_alone_is_not_its_call(output: Output, tmp_path: Path) -> None:
    (file,) = Path(output.manifest).iterdir()
    rows = [Row(**{**row, "sha256": "0" * 64}) for row in _rows(file)]
    file.unlink()
    write_batch(table(Row, rows), output)
    code, text = run(output.url, "a", "--again", tmp_path / "a.png")
    assert (code, "other bytes than in the manifest" in text) == (1, True)
    next(Path(output.manifest).iterdir()).unlink()
    write_batch(table(Row, rows[:2]), output)
    code, text = run(output.url, "a", "--again", tmp_path / "a.png")
    assert (code, text.count("\n")) == (2, 1)
    assert "was made in one call with 2 other(s), which the manifest no longer holds" in text


def _rows(file: Path) -> list[dict[str, Any]]:
    return pq.read_table(file).to_pylist()


def test_a_picture_is_drawn_on_a_terminal_only(output: Output) -> None:
    (row,) = find_rows(output, "a")
    screen, log = io.StringIO(), io.StringIO()
    shown(row, output, output.url, Console(file=screen, force_terminal=True, color_system="truecolor", width=100))
    shown(row, output, output.url, Console(file=log, width=100))
    assert screen.getvalue().count("\u2580") == 60 * 30
    assert "\u2580" not in log.getvalue()


def test_what_is_not_there_or_failed_is_refused(output: Output, tmp_path: Path) -> None:
    code, text = run(output.url, "nobody")
    assert (code, text) == (2, f"refused: {output.url} holds no row 'nobody'\n")
    assert run(output.url, "a", "--model", "mochi")[0] == 2
    code, text = run(output.url, "bad")
    assert code == 0
    assert "ValueError: no" in text
    assert "make it again" not in text
    with pytest.raises(Refused, match="failed, so there is nothing to make again"):
        make_again(find_rows(output, "bad")[0], output)


@pytest.mark.parametrize("text", ["plain", "it's", "a b\n'\\$x`", "\x1b[31m\u202e\x00"[:-1], "-r", ""])
def test_a_quoted_text_is_one_word_of_the_shell(text: str) -> None:
    ended = subprocess.run(["bash", "-c", f"printf %s {quoted(text)}"], capture_output=True, check=True)
    assert ended.stdout.decode() == text
    assert quoted(text).isprintable()
    if text.isprintable():
        assert quoted(text) == shlex.quote(text)


def test_pixels_depend_on_the_prompt_as_a_sanity_check(output: Output) -> None:
    first, last = (make_again(find_rows(output, row_id)[0], output) for row_id in ("a", "c"))
    assert not np.array_equal(np.frombuffer(first[:4000], np.uint8), np.frombuffer(last[:4000], np.uint8))
