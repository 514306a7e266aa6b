"""Buckets through the API: what they count, which there are, and how they are read."""

import csv
import io
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from domains.clock import database_now
from monitoring import rolling, rollups, sources
from monitoring.bucket_partitions import DAYS, FINE, HOURS
from monitoring.buckets import Rolled
from monitoring.models import Location
from monitoring.packing import Kind
from monitoring.schemas.series import BUCKET_COLUMNS, SeriesOut
from monitoring.steps import Kept, NoSuchSeries, check, finest
from tests.conftest import NOW, MakeDomain
from tests.integration.history import DAY, HOUR, MINUTE, read, roll, slots, store

STATES = ", up, degraded, down, internal, missed"


@pytest.fixture
def today(db: None) -> datetime:
    """Return the hour that has just begun: what is kept is counted from the present."""
    return database_now().replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def path(make_domain: MakeDomain, today: datetime) -> str:
    """Return the address of a history with a gap, of two locations, mostly rolled up."""
    domain = make_domain()
    for number, name in enumerate(("local", "paris")):
        place = Location.objects.create(name=name)
        begin = today - 30 * HOUR
        store(domain.pk, place, slots(begin, 200, 5 * MINUTE), seed=number, kind=Kind.SCHEDULED)
        store(domain.pk, place, slots(today - 5 * HOUR, 290), seed=number, kind=Kind.SCHEDULED)
        store(domain.pk, place, [today - 4 * HOUR + MINUTE / 2], kind=Kind.MANUAL)
    roll(today - 31 * HOUR, today - HOUR)
    return f"/api/monitoring/{domain.pk}/history"


def text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize("step", ["1m", "5m", "1h", "1d", "auto"])
@pytest.mark.parametrize("places", [[], ["paris"], ["paris", "local"]])
def test_buckets_are_what_their_results_are(
    client: Client, path: str, today: datetime, step: str, places: list[str]
) -> None:
    span = {"from": text(today - 31 * HOUR), "to": text(today), "location": places}
    body = client.get(path, {**span, "step": step}).json()
    assert SeriesOut.model_validate(body).step == ("5m" if step == "auto" else step)
    items = read(client, path, {"location": places, "kind": "scheduled", "limit": 1000})
    by_slot = sorted((datetime.fromisoformat(item["slot"]), item["state"]) for item in items)
    upto = datetime.fromisoformat(body["from"])
    for bucket in body["buckets"]:
        start, end = (datetime.fromisoformat(bucket[name]) for name in ("start", "end"))
        assert start == upto
        upto = end
        states = Counter(state for slot, state in by_slot if start <= slot < end)
        assert {name: bucket[name] for name in states} == dict(states)
        assert bucket["expected"] == sum(states.values())
        seen = states["up"] + states["degraded"] + states["down"]
        assert bucket["uptime"] == ((states["up"] + states["degraded"]) / seen if seen else None)
        assert bucket["coverage"] == (seen / sum(states.values()) if states else None)
        reasons = [sum(bucket["reasons"].get(name, {}).values()) for name in ("down", "missed")]
        assert reasons == [states["down"], states["missed"]]
    assert upto == datetime.fromisoformat(body["to"])
    assert sum(bucket["expected"] for bucket in body["buckets"]) == len(items)
    if step != "1d":
        assert [each for each in body["buckets"] if each["expected"] == 0]  # the gap is there


@pytest.mark.parametrize("form", ["text/csv", "application/x-ndjson"])
def test_a_file_of_buckets_is_what_the_series_is(
    client: Client, path: str, today: datetime, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.api.history._CHUNK_BUCKETS", 7)
    span = {"from": text(today - 31 * HOUR), "to": text(today), "step": "1h"}
    buckets = client.get(path, span).json()["buckets"]
    answer: Any = client.get(path, span, headers={"Accept": form})
    body = answer.getvalue().decode()
    if form != "text/csv":
        assert [json.loads(line) for line in body.splitlines()] == buckets
    else:
        header, *lines = csv.reader(io.StringIO(body, newline=""))
        assert tuple(header) == BUCKET_COLUMNS
        for line, bucket in zip(lines, buckets, strict=True):
            row = dict(zip(header, line, strict=True))
            assert (row["start"], row["expected"]) == (bucket["start"], str(bucket["expected"]))
            assert json.loads(row["reasons"]) == bucket["reasons"]
            found = bucket["latency"]["total"]
            assert row["total_p99_us"] == ("" if found is None else str(found["p99_us"]))
    nine: dict[str, Any] = {**span, "limit": 9}
    few: Any = client.get(path, nine, headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in few.getvalue().splitlines()] == buckets[:9]


@pytest.mark.parametrize(
    ("days", "query", "name", "words"),
    [
        (31, {"step": "1m"}, "step", "take step=1h"),
        (3, {"step": "1m"}, "step", "more than 3000 buckets: take step=5m"),
        (91, {"step": "5m"}, "step", "take step=1h"),
        (740, {"step": "1h"}, "step", "take step=1d"),
        (1, {"step": "1h", "state": "up"}, "state", "step=raw"),
        (1, {"step": "1h", "reason": "timeout"}, "reason", "step=raw"),
        (1, {"step": "1h", "kind": "manual"}, "kind", "step=raw"),
        (1, {"step": "1h", "fields": "slot"}, "fields", "step=raw"),
        (1, {"step": "1h", "cursor": "x"}, "cursor", "step=raw"),
        (1, {"step": "1h", "limit": "5"}, "limit", "leave it out"),
        (-1, {"step": "1h"}, "to", "later than"),
    ],
)
def test_a_series_that_cannot_be_had_is_refused_with_the_cure(
    client: Client, path: str, today: datetime, days: int, query: Any, name: str, words: str
) -> None:
    span = {"from": text(today - days * DAY), "to": text(today)}
    answer = client.get(path, {**span, **query})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == name
    assert words in error["detail"]


@pytest.mark.parametrize("step", ["1m", "1d", "auto"])
def test_a_series_that_lies_ahead_is_refused(
    client: Client, path: str, today: datetime, step: str
) -> None:
    for span in ({}, {"to": text(today + 9 * DAY)}):
        answer = client.get(path, {"from": text(today + 2 * DAY), "step": step, **span})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "from"


@pytest.mark.parametrize("form", ["application/json", "application/x-ndjson"])
def test_a_series_ends_now(client: Client, path: str, today: datetime, form: str) -> None:
    span = {"from": text(today - HOUR), "to": "2199-12-31T00:00:00Z", "step": "1m"}
    answer: Any = client.get(path, span, headers={"Accept": form})
    if form == "application/json":
        buckets = answer.json()["buckets"]
    else:
        # As many lines as an honest file cannot have: a broken one would go on for an hour.
        text_of = "".join(chunk.decode() for _, chunk in zip(range(3), answer, strict=False))
        buckets = [json.loads(line) for line in text_of.splitlines()]
    last = datetime.fromisoformat(buckets[-1]["start"])
    assert last <= database_now() < last + 2 * MINUTE


@pytest.mark.parametrize(
    ("begin", "length", "step"),
    [
        (HOUR, HOUR, "1m"),
        (DAY, DAY, "5m"),
        (30 * DAY, 30 * DAY, "1h"),
        (90 * DAY, 90 * DAY, "1d"),
        (40 * DAY, HOUR, "5m"),
        (200 * DAY, HOUR, "1h"),
        (1000 * DAY, HOUR, "1d"),
        (4000 * DAY, 4000 * DAY, "1d"),
    ],
)
def test_auto_is_the_finest_that_is_kept_and_readable(
    begin: timedelta, length: timedelta, step: str
) -> None:
    assert finest(NOW - begin, NOW - begin + length, Kept(NOW, 30 * DAY)) == step


def test_raw_rows_that_outlive_buckets_are_no_cure_for_them() -> None:
    kept = Kept(NOW, 3650 * DAY)
    with pytest.raises(NoSuchSeries, match="take step=1h"):
        check("5m", NOW - 100 * DAY, NOW - 99 * DAY, kept, most=3000)


@pytest.mark.parametrize("step", [5 * MINUTE, HOUR, DAY])
def test_buckets_are_read_by_their_key_in_their_partitions(
    make_domain: MakeDomain, monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    place = Location.objects.create(name="local")
    start = NOW.replace(hour=0) - 2 * DAY
    domain = make_domain()
    for day in (start - 30 * DAY, start, start + DAY):
        store(domain.pk, place, slots(day, 8, 3 * HOUR), kind=Kind.SCHEDULED)
        for hour in range(24):
            rolling._roll_hour([domain.pk], day + hour * HOUR)
        rolling._roll_day([domain.pk], day)
        Rolled.objects.create(level="day", start=day)
    with connection.cursor() as cursor:
        for table, more in ((FINE, ""), (HOURS, STATES), (DAYS, STATES)):
            cursor.execute(
                f"INSERT INTO {table} (domain_id, start, location_id, packed{more}) "
                f"SELECT domain_id + other, start, location_id, packed{more} "
                f"FROM {table}, generate_series(1, 500) AS other"
            )
        cursor.execute("ANALYZE")
    plans: list[str] = []
    execute = psycopg.Cursor.execute

    def explain(cursor: Any, statement: Any, values: Any = None, **options: Any) -> Any:
        if "AS bucket" in statement:
            execute(cursor, f"EXPLAIN {statement}", values)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))
        return execute(cursor, statement, values, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", explain)
    found = rollups.series(domain.pk, start, start + 2 * DAY, step)
    assert sum(bucket.expected for bucket in found) == 16
    (plan,) = plans
    assert "Seq Scan on monitoring" not in plan, plan
    assert "_pkey" in plan
    if step < HOUR:
        assert f"{start - 30 * DAY:%Y%m%d}" not in plan
    elif step < DAY:
        assert f"{start - 30 * DAY:%Y%m}" not in plan


def test_what_a_span_is_read_from_lies_side_by_side(db: None) -> None:
    start, end = sources.micros(NOW - DAY) + 7, sources.micros(NOW) + 11
    found = sources.sources(start, end, coarsest=sources.DAY)
    assert (found.raw, found.is_raw) == ([(start, end)], True)
    assert sources.micros(sources.moment(start)) == start
