"""Columns as texts: PostgreSQL reads back what went in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from monitoring.arrays import array_literal

TEXTS = st.none() | st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))
INSTANTS = st.none() | st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - the zone follows
    datetime(2200, 1, 1),  # noqa: DTZ001 - the zone follows
    timezones=st.just(UTC),
)


def read_back(kind: str, values: list[object]) -> list[object]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM unnest(%s::{kind}[])", [array_literal(values)])
        return [value for (value,) in cursor.fetchall()]


class Arrays(TestCase):
    """What goes in comes out, whatever it is."""

    @settings(deadline=None)
    @given(st.lists(TEXTS))
    def test_texts(self, values: list[object]) -> None:
        assert read_back("text", values) == values

    @settings(deadline=None)
    @given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
    def test_numbers(self, values: list[object]) -> None:
        assert read_back("bigint", values) == values

    @settings(deadline=None)
    @given(st.lists(INSTANTS))
    def test_instants(self, values: list[object]) -> None:
        assert read_back("timestamptz", values) == values


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["NULL", "null", "", " ", '"', "\\", "{}", "a,b", "{a,b}", "\n"])
def test_what_means_something_in_an_array_is_only_text(text: str) -> None:
    assert read_back("text", [text, None]) == [text, None]


def test_an_instant_of_another_zone_is_the_same_instant(db: None) -> None:
    there = datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert read_back("timestamptz", [there]) == [there]


@pytest.mark.parametrize("value", [datetime(2026, 11, 23), 1.5, b"x", True])  # noqa: DTZ001
def test_what_is_not_stored_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        array_literal([value])
