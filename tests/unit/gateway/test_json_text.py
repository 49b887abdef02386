"""What goes out as JSON says the same, in one line for every reader of lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.json_text import text_to_json, to_json

ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # whatever Python's `splitlines` ends a line at


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(ENDS))))
def test_it_says_what_it_was_told_in_one_line(text: str) -> None:
    for encoded in (text_to_json(text), to_json(text), to_json({"a": [text]})):
        assert len(encoded.splitlines()) == 1
    assert json.loads(text_to_json(text)) == text
    assert json.loads(to_json({"a": [text], text: 1})) == {"a": [text], text: 1}


@pytest.mark.parametrize("end", ENDS)
def test_no_end_of_a_line_is_left(end: str) -> None:
    assert text_to_json(f"é{end}").splitlines() == [text_to_json(f"é{end}")]
    assert json.loads(text_to_json(f"é{end}")) == f"é{end}"


def test_other_text_stays_as_it_is() -> None:
    assert to_json("Grüße, 世界 🌍") == '"Grüße, 世界 🌍"'
