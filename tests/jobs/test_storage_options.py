from typing import Any

import fsspec
import fsspec.config
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jobs.config.job import Job
from jobs.config.storage_options import check, use

FIELDS = {"name": "x", "prompts": "p", "output": "o", "model": {"pipeline": "a/b"}}


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIA"},
        {"secret": "x"},
        {"client_kwargs": {"aws_secret_access_key": "x"}},
        {"token": "/home/me/token.json"},
        {"account_key": "x"},
        {"sas_token": "x"},
        {"connection_string": "x"},
        {"Password": "x"},
        {"endpoint_url": "https://me:secret@host"},
        {"endpoint_url": "https://host/?X-Amz-Signature=1"},
    ],
)
def test_what_may_be_a_secret_is_refused_without_being_shown(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"s3\.") as refused:
        Job.model_validate({**FIELDS, "storage_options": {"s3": options}})
    assert "input_value=" not in str(refused.value) or "AKIA" not in str(refused.value).partition("input_value")[0]
    with pytest.raises(ValueError, match=r"s3\.") as refused:
        check({"s3": options})
    assert "AKIA" not in str(refused.value)
    assert ":secret@" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_harmless_options_pass() -> None:
    options = {
        "s3": {
            "endpoint_url": "https://minio.local:9000",
            "anon": True,
            "client_kwargs": {"region_name": "eu-west-1"},
            "config_kwargs": {"signature_version": "s3v4"},
            "s3_additional_kwargs": {"SSEKMSKeyId": "arn:aws:kms:1"},
        },
        "gs": {"project": "p"},
        "az": {"account_name": "a"},
    }
    assert Job.model_validate({**FIELDS, "storage_options": options}).storage_options == options


class Recorded(MemoryFileSystem):
    protocol = "recorded"

    def __init__(self, endpoint_url: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.endpoint_url = endpoint_url


@pytest.fixture
def recorded() -> None:
    fsspec.register_implementation("recorded", Recorded)


@pytest.mark.usefixtures("recorded")
def test_file_systems_opened_afterwards_have_them() -> None:
    use({"recorded": {"endpoint_url": "http://one"}})
    assert fsspec.core.url_to_fs("recorded://a")[0].endpoint_url == "http://one"
    use({"recorded": {"endpoint_url": "http://two"}})
    assert fsspec.core.url_to_fs("recorded://a")[0].endpoint_url == "http://two"
