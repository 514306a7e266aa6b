"""Cursors: what goes in comes out, and nothing else does."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domains.paging import BadCursor, decode_cursor, encode_cursor

BIGINT = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
"""What the database's texts are made of."""


def cursor_of(value: Any) -> str:
    """Return a cursor that holds any JSON."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(BIGINT, TEXT)
def test_a_cursor_names_the_key_it_was_made_of(number: int, text: str) -> None:
    cursor = encode_cursor(number, text)

    assert decode_cursor(cursor, int, str) == (number, text)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["\0", "a\ud800"])
def test_a_text_that_the_database_cannot_hold_is_of_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        decode_cursor(cursor_of([1, text]), int, str)


@given(st.text())
@example("")
@example("====")
@example("é")
@example("\ud800")
@example(base64.urlsafe_b64encode(b"\xff\xfe").decode())
@example(base64.urlsafe_b64encode(b"1" * 5000).decode())
def test_any_other_text_is_a_bad_cursor(text: str) -> None:
    try:
        key = decode_cursor(text, int)
    except BadCursor:
        return
    assert isinstance(key[0], int)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "1",
        {},
        {"0": 1},
        [],
        ["1"],
        [1, 2],
        [True],
        [1.0],
        [None],
        [[1]],
        [2**63],
        [-(2**63) - 1],
        [10**400],
    ],
)
def test_a_cursor_of_another_list_is_a_bad_cursor(value: Any) -> None:
    with pytest.raises(BadCursor):
        decode_cursor(cursor_of(value), int)
