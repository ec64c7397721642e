import pytest
import torch

from jobs.errors import Failure, Refused, attempt, describe, last_line, redact, refusing


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sftp://me:secret@host/a", "sftp://host/a"),
        ("https://host/a.parquet?sig=secret&x=1 is gone", "https://host/a.parquet is gone"),
        ("s3://bucket/a@b.parquet", "s3://bucket/a@b.parquet"),
        ("/plain/path", "/plain/path"),
        ("/a:b/c@d.parquet", "/a:b/c@d.parquet"),
        ("sftp://me:se/cr@et@host/a", "sftp://host/a"),
        ("sftp://me:se?cr/et@host/a", "sftp://host/a"),
        ("https://me:pw@host/a?user=me@x&sig=secret", "https://host/a"),
        ("http://host:8080/a@b.parquet?sig=secret", "http://host:8080/a@b.parquet"),
        ("a ftp://u:p@h/x and ftp://v:q@h/y", "a ftp://h/x and ftp://h/y"),
    ],
)
def test_credentials_are_taken_out_of_urls(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_an_error_is_one_line_with_its_class() -> None:
    assert describe(ValueError("two\n  lines at ftp://u:p@h/x")) == "ValueError: two lines at ftp://h/x"
    assert describe(KeyError()) == "KeyError"
    assert len(describe(ValueError("x" * 5000))) == 1000


def test_attempt_gives_the_result_or_the_failure() -> None:
    assert attempt(lambda: 3) == 3
    assert attempt(lambda: 1 // 0) == Failure(error="ZeroDivisionError: integer division or modulo by zero")


def test_what_torch_says_where_memory_runs_out_is_known() -> None:
    failure = attempt(lambda: torch.empty(2**50))
    assert isinstance(failure, Failure)
    assert failure.out_of_memory
    other = attempt(lambda: torch.empty(-1))
    assert isinstance(other, Failure)
    assert not other.out_of_memory


@pytest.mark.parametrize(
    ("text", "out_of_memory", "device_lost"),
    [
        ("CUDA error: out of memory", True, False),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True, False),
        ("CUDA error: device-side assert triggered\nCompile with ...", False, True),
        ("CUDA error: an illegal memory access was encountered", False, True),
        ("Expected all tensors to be on the same device", False, False),
    ],
)
def test_what_cuda_says_is_told_apart(text: str, out_of_memory: bool, device_lost: bool) -> None:
    def fail() -> None:
        raise RuntimeError(text)

    failure = attempt(fail)
    assert isinstance(failure, Failure)
    assert (failure.out_of_memory, failure.device_lost) == (out_of_memory, device_lost)


def test_an_interrupt_is_no_failure_of_a_row() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted)


def test_last_line_finds_the_cause_under_a_remote_traceback() -> None:
    remote = RuntimeError("\x1b[36mray::Actor\x1b[39m\n  File x\nOSError: no such model\n\n")
    assert last_line(remote) == "OSError: no such model"


def test_what_a_worker_told_is_found_above_the_advice_of_ray() -> None:
    assert (
        last_line(RuntimeError("  File x\njobs.errors.JobFailed: OSError: gone\n\nTo change retries, ..."))
        == "OSError: gone"
    )


def test_refusing_says_what_was_tried_and_leaves_refusals_alone() -> None:
    with pytest.raises(Refused, match=r"can't list ftp://h/x: OSError: gone"), refusing("can't list ftp://u:p@h/x"):
        raise OSError("gone")
    with pytest.raises(Refused, match=r"^as it is$"), refusing("more"):
        raise Refused("as it is")
