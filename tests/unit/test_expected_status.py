"""The text of accepted statuses."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.expected_status import CURE, normalise_expected_status, parse_expected_status

CODES = st.integers(100, 599)
RANGES = st.lists(st.tuples(CODES, CODES).map(lambda pair: (min(pair), max(pair))), min_size=1)


@pytest.mark.parametrize(
    ("text", "ranges", "normal"),
    [
        ("200", [(200, 200)], "200"),
        ("200-299", [(200, 299)], "200-299"),
        (" 200-299 , 401 ", [(200, 299), (401, 401)], "200-299,401"),
        ("404-404", [(404, 404)], "404"),
        ("599,100", [(599, 599), (100, 100)], "599,100"),
    ],
)
def test_codes_and_ranges_are_read_in_their_order(
    text: str, ranges: list[tuple[int, int]], normal: str
) -> None:
    assert parse_expected_status(text) == tuple(ranges)
    assert normalise_expected_status(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "200,",
        "2xx",
        "99",
        "600",
        "1000",
        "200-",
        "-299",
        "200 - 299",
        "200-299-300",
        "+200",
        "20\u0660",
        "200;201",
        "200.0",
        "300-200",
    ],
)
def test_another_form_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(CURE)):
        parse_expected_status(text)


@given(RANGES)
def test_what_is_written_is_what_is_read(ranges: list[tuple[int, int]]) -> None:
    text = ", ".join(f"{low}-{high}" for low, high in ranges)

    assert parse_expected_status(text) == tuple(ranges)
    assert parse_expected_status(normalise_expected_status(text)) == tuple(ranges)


@given(st.text("0123456789-, x\u0661", max_size=20) | st.text(max_size=20))
def test_any_text_is_refused_or_has_one_normal_form(text: str) -> None:
    try:
        normal = normalise_expected_status(text)
    except ValueError:
        return
    assert normalise_expected_status(normal) == normal
    assert re.fullmatch(r"[0-9,-]+", normal)
