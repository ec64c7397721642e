import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.report.text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, "(null)"),
        ("a fox\nin\tsnow", "a fox in snow"),
        ("\u202eevil", "\\u202eevil"),
        ("nul \x00 and \x1b[31m", "nul \\u0000 and \\u001b[31m"),
        ("\U000f0000", "\\U000f0000"),
        # A joined emoji and a Persian word need their joiners.
        ("\U0001f469\u200d\U0001f680 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),
        ("<b>&amp;", None),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str | None, shown: str | None) -> None:
    assert visible(text) == (text if shown is None else shown)


@given(st.text(max_size=2000))
def test_it_is_one_line_of_bounded_length_without_controls(text: str) -> None:
    shown = visible(text)
    assert len(shown) < 4100
    assert not any(ord(character) < 32 or character in "\u202e\u2066" for character in shown)
