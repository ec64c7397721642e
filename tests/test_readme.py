from __future__ import annotations

from pathlib import Path

from tests.readme import models_table

README = Path(__file__).parents[1] / "README.md"


def test_the_table_of_models_is_that_of_the_records() -> None:
    """`python -m tests.readme` prints it anew."""
    assert models_table() in README.read_text()
