"""Results through the API: filters, slim rows, cursors while rows are added, files, plans."""

import csv
import io
import json
import random
import re
import tracemalloc
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring import pages
from monitoring.models import Location
from monitoring.packing import VERDICTS, Kind
from monitoring.pages import Wanted
from monitoring.probes.states import Reason, State
from monitoring.schemas.results import ResultPage
from tests.conftest import NOW, MakeDomain
from tests.integration.history import DAY, HOUR, MINUTE, read, slots, store

UP = (State.UP, None)
TIMED_OUT = (State.DOWN, Reason.TIMEOUT)


@pytest.fixture
def local(db: None) -> Location:
    return Location.objects.create(name="local")


@pytest.fixture
def paris(db: None) -> Location:
    return Location.objects.create(name="paris")


@pytest.fixture
def path(make_domain: MakeDomain, local: Location, paris: Location) -> str:
    """Return the address of a history of two locations over two days."""
    domain = make_domain()
    store(domain.pk, local, slots(NOW - DAY, 80, 30 * MINUTE))
    store(domain.pk, paris, slots(NOW - DAY, 40, HOUR), seed=2)
    return f"/api/monitoring/{domain.pk}/history"


@pytest.mark.parametrize(
    "query",
    [
        {"state": ["down"]},
        {"state": ["up", "missed"]},
        {"reason": ["timeout", "slow", "assertion"]},
        {"state": ["down"], "reason": ["assertion"]},
        {"state": ["up"], "reason": ["timeout"]},
        {"kind": "manual"},
        {"location": ["paris"], "state": ["internal"]},
        {"location": ["paris", "local"], "kind": "scheduled", "state": ["down"]},
    ],
)
def test_a_filter_leaves_what_it_says(client: Client, path: str, query: dict[str, Any]) -> None:
    whole = read(client, path)
    expected = [
        row
        for row in whole
        if all(row[name] in ([one] if isinstance(one, str) else one) for name, one in query.items())
    ]
    assert len(whole) == 120
    for limit in (1, 7, 1000):
        assert read(client, path, {**query, "limit": limit}) == expected


@pytest.mark.parametrize(
    "query", ["fields=slot,state,total_us", "fields=state&fields=total_us,slot"]
)
def test_items_have_the_fields_that_were_asked_for(client: Client, path: str, query: str) -> None:
    slim = read(client, f"{path}?{query}")
    names = ["slot", "state", "total_us"]
    assert [list(row) for row in slim] == [names] * 120
    assert slim == [{name: row[name] for name in names} for row in read(client, path)]


def test_a_page_is_as_its_schema_says(client: Client, path: str) -> None:
    body = client.get(path).content
    page = ResultPage.model_validate_json(body, strict=False)
    assert json.loads(page.model_dump_json()) == json.loads(body)


def test_a_filter_that_hardly_matches_stops_and_goes_on(
    client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_EXAMINED", 15)
    expected = [row for row in read(client, path) if row["reason"] == "timeout"]
    rare: dict[str, Any] = {"reason": "timeout", "limit": 50}
    first = client.get(path, rare).json()
    assert first["next"] is not None
    assert len(first["items"]) < len(expected)
    assert read(client, path, {"reason": "timeout", "limit": 50}) == expected


@pytest.mark.parametrize("form", ["text/csv", "application/x-ndjson"])
@pytest.mark.parametrize("query", ["", "state=down&state=missed", "fields=detail,slot", "limit=7"])
def test_a_file_is_what_the_pages_are(
    client: Client, path: str, form: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.api.history._CHUNK_ROWS", 9)
    items = read(client, f"{path}?{query}") if query != "limit=7" else read(client, path)[:7]
    answer: Any = client.get(f"{path}?{query}", headers={"Accept": form})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith(form)
    assert answer["Content-Disposition"].startswith('attachment; filename="domain-')
    body = answer.getvalue().decode()
    if form != "text/csv":
        assert [json.loads(line) for line in body.splitlines()] == items
        return
    header, *lines = csv.reader(io.StringIO(body, newline=""))
    assert header == list(items[0])
    for line, item in zip(lines, items, strict=True):
        for name, cell in zip(header, line, strict=True):
            value = item[name]
            text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
            assert cell == (f"'{text}" if text.startswith("=") else text), name


def test_what_cannot_be_sent_is_406(client: Client, path: str) -> None:
    answer = client.get(path, headers={"Accept": "application/pdf"})
    assert answer.status_code == 406
    assert "text/csv" in answer.json()["detail"]


@pytest.mark.django_db(transaction=True)
def test_a_file_whose_database_dies_breaks_off(
    client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.api.history._CHUNK_ROWS", 10)
    answer: Any = client.get(path, headers={"Accept": "text/csv"})
    body = iter(answer.streaming_content)
    assert next(body).startswith(b"domain_id,location,slot")
    # Its session ends as an administrator, or a crash, ends it.
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    with pytest.raises(OperationalError):
        next(body)
    connection.close()


@pytest.mark.parametrize("form", ["text/csv", "application/x-ndjson"])
def test_a_file_takes_no_more_memory_the_longer_it_is(
    client: Client, make_domain: MakeDomain, local: Location, form: str
) -> None:
    domain = make_domain()
    store(domain.pk, local, slots(NOW - HOUR, 6000, MINUTE / 120), ending=UP)
    path = f"/api/monitoring/{domain.pk}/history"

    def peak(limit: int) -> tuple[int, int]:
        tracemalloc.start()
        try:
            answer: Any = client.get(path, {"limit": limit}, headers={"Accept": form})
            size = sum(len(chunk) for chunk in answer.streaming_content)
            return size, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)  # what is made once
    short, at_first = peak(2000)
    long, at_last = peak(6000)
    assert long > 2.5 * short
    assert at_last < 1.3 * at_first


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"from": "1764000000"}, "such as 2026-11-23T12:00:00Z"),
        ({"from": "2026-11-23T12:00:00 01:00"}, "%2B"),
        ({"from": "2026-11-23T12:00:00"}, "no time zone"),
        ({"from": "2026-02-30T12:00:00Z"}, "no such instant"),
        ({"to": "yesterday"}, "RFC 3339"),
        ({"state": "broken"}, "degraded"),
        ({"reason": "bad luck"}, "dns_error"),
        ({"fields": "slot,colour"}, "total_us"),
        ({"kind": "odd"}, "manual"),
        ({"location": "oslo"}, "local, paris"),
        ({"step": "2m"}, "auto"),
        ({"limit": "1001"}, "1000"),
    ],
)
def test_what_is_wrong_is_named_with_its_cure(
    client: Client, path: str, query: dict[str, str], words: str
) -> None:
    answer = client.get(path, query)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == next(iter(query))
    assert words in error["detail"]


FILTERS = st.sampled_from(
    [{}, {"state": ["down", "missed"]}, {"kind": "manual"}, {"state": ["up"]}]
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32), FILTERS)
def test_pages_repeat_and_skip_nothing_while_rows_are_added(
    client: Client,
    make_domain: MakeDomain,
    local: Location,
    paris: Location,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    query: dict[str, Any],
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(pages, "MOST_EXAMINED", chance.randrange(1, 40))
    domain = make_domain()
    path = f"/api/monitoring/{domain.pk}/history"
    places = [(place, slot) for place in (local, paris) for slot in slots(NOW, 60, HOUR)]
    chance.shuffle(places)
    for place, slot in places[:50]:
        store(domain.pk, place, [slot], seed=chance.randrange(2**32))
    there = read(client, path, {**query, "limit": 1000})
    waiting, seen, cursor = places[50:], [], None
    while True:
        for _ in range(min(len(waiting), chance.randrange(6))):
            place, slot = waiting.pop()
            store(domain.pk, place, [slot], seed=chance.randrange(2**32))
        asked = {**query, "limit": chance.randrange(1, 12)} | ({"cursor": cursor} if cursor else {})
        answer = client.get(path, asked).json()
        assert len(answer["items"]) <= asked["limit"]
        seen += answer["items"]
        if answer["next"] is None:
            break
        cursor = answer["next"].split("cursor=")[1].split("&")[0]
    keys = [(row["slot"], row["location"]) for row in seen]
    assert len(keys) == len(set(keys))
    assert keys == sorted(keys, reverse=True)
    assert not {(row["slot"], row["location"]) for row in there} - set(keys)


def test_what_is_rarely_found_is_read_by_its_own_index(
    make_domain: MakeDomain, local: Location
) -> None:
    domain = make_domain()
    first, scheduled = NOW - 20 * HOUR, Kind.SCHEDULED
    for domain_id in range(domain.pk, domain.pk + 10):  # a smaller table is read as a whole
        store(domain_id, local, slots(first, 1000), ending=UP, kind=scheduled)
    store(domain.pk, local, slots(first + MINUTE / 2, 3), ending=TIMED_OUT, kind=scheduled)
    store(domain.pk, local, slots(first + MINUTE / 3, 3), ending=UP, kind=Kind.MANUAL)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE monitoring_packedresult")
    timed_out, closed = VERDICTS[TIMED_OUT], VERDICTS[State.DOWN, Reason.CLOSED]
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("packedresult_by_verdict", {"verdicts": [timed_out]}, 3),
        ("packedresult_by_verdict", {"verdicts": [closed]}, 0),
        ("packedresult_manual", {"kind": Kind.MANUAL}, 3),
    ]
    for index, only, found in cases:
        wanted = Wanted(domain_id=domain.pk, start=NOW - DAY, end=NOW, **only)
        plans = _Plans()
        with connection.execute_wrapper(plans):
            page = pages.page(wanted, cursor=None, limit=100)
        assert len(page.rows) == found
        examined, read = plans.found
        for plan in (examined, read):
            assert any(name in plan for name in _parts(index)), plan
            assert not re.search(r"packedresult\w*_pkey", plan), plan
        if "verdicts" in only:  # of the index: rows with another one are not even looked at
            assert re.search(r"Index Cond: .*>> 58.* = ANY", read), read


def _parts(index: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass",
            [index],
        )
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.parametrize("verdicts", [None, [0, 13]])
def test_a_page_reads_its_partitions_by_their_key(
    make_domain: MakeDomain, local: Location, verdicts: list[int] | None
) -> None:
    domain = make_domain()
    for domain_id in range(domain.pk, domain.pk + 20):
        store(domain_id, local, slots(NOW - 3 * DAY, 800, 6 * MINUTE), ending=UP)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE monitoring_packedresult")
    wanted = Wanted(domain_id=domain.pk, start=NOW - DAY, end=NOW, verdicts=verdicts)
    plans = _Plans()
    with connection.execute_wrapper(plans):
        page = pages.page(wanted, cursor=None, limit=100)
    assert len(page.rows) == 100
    assert len(plans.found) == (1 if verdicts is None else 2)
    for plan in plans.found:
        scans = [line for line in plan.splitlines() if "monitoring_packedresult" in line]
        assert scans
        assert not [line for line in scans if "Seq Scan" in line], plan
        assert f"{NOW:%Y%m%d}_pkey" in plan
        assert f"{NOW - 2 * DAY:%Y%m%d}" not in plan
        assert f"{NOW + DAY:%Y%m%d}" not in plan
        # Where PostgreSQL has a compiler, what looks dear is compiled, for 100 ms and more.
        cost = re.search(r"cost=\d+\.\d+\.\.(\d+)", plan)
        assert cost
        assert int(cost[1]) < 10_000, plan


def test_nothing_is_compiled(db: None) -> None:
    # In a session that began after the migrations.
    fresh = connection.copy()
    try:
        with fresh.cursor() as cursor:
            cursor.execute("SHOW jit")
            assert cursor.fetchone() == ("off",)
    finally:
        fresh.close()


class _Plans:
    """Collects the plans of what reads results."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "monitoring_result" in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                self.found.append("\n".join(line for (line,) in cursor.fetchall()))
        return execute(sql, params, many, context)
