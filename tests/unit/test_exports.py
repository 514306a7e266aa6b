"""Files of histories, and which form is sent: pure functions."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from monitoring.api.negotiation import NotAcceptable, preferred
from monitoring.exports import csv_lines, json_lines

OFFERS = ["application/json", "text/csv", "application/x-ndjson"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/csv, */*", "text/csv"),
        ("text/csv;q=0.5, application/x-ndjson;q=0.8", "application/x-ndjson"),
        ("*/*, application/json;q=0", "text/csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0.1, text/csv;q=x", "text/csv"),
        ("text/html", None),
        ("text/csv;q=0", None),
        ("nonsense", None),
    ],
)
def test_the_form_that_is_liked_best_is_sent(accept: str | None, expected: str | None) -> None:
    request = RequestFactory().get("/", headers={} if accept is None else {"Accept": accept})
    if expected is not None:
        assert preferred(request, OFFERS) == expected
        return
    with pytest.raises(NotAcceptable, match="text/csv"):
        preferred(request, OFFERS)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "'", "a=1"]
)
def test_no_text_begins_as_a_formula_does(text: str) -> None:
    written = b"".join(csv_lines(["detail"], [[{"detail": text}]])).decode()
    ((cell,),) = list(csv.reader(io.StringIO(written, newline="")))[1:]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.lists(st.tuples(TEXT, st.integers() | st.none()), max_size=4), max_size=4))
def test_csv_reads_back_as_what_was_written(chunks: list[list[tuple[str, int | None]]]) -> None:
    rows: list[list[dict[str, Any]]] = [
        [{"detail": text, "count": number} for text, number in chunk] for chunk in chunks
    ]
    written = b"".join(csv_lines(["detail", "count"], rows)).decode()
    read = list(csv.reader(io.StringIO(written, newline="")))
    expected = [
        [text, "" if number is None else str(number)] for chunk in chunks for text, number in chunk
    ]
    assert [[cell.removeprefix("'"), count] for cell, count in read[1:]] == expected
    assert not chunks or read[0] == ["detail", "count"]


def test_instants_and_lists_are_as_they_are_in_json() -> None:
    row = {"slot": datetime(2026, 11, 23, 12, tzinfo=UTC), "hops": [{"url": 'a"b'}]}
    lines = b"".join(csv_lines(["slot", "hops"], [[row]])).decode().split("\r\n")
    assert lines[1] == '2026-11-23T12:00:00Z,"[{""url"":""a\\""b""}]"'
    assert b"".join(json_lines([[row]])) == (
        b'{"slot":"2026-11-23T12:00:00Z","hops":[{"url":"a\\"b"}]}\n'
    )
