"""What is stored is read back as it was, by the view, whatever a check may see."""

from datetime import datetime, timedelta
from importlib import import_module
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from domains.audit import OPERATOR
from domains.services import create_domain
from monitoring import ledger, partitions
from monitoring.ledger import Row
from monitoring.models import Location
from monitoring.packing import COLUMNS, HTTP_VERSIONS, VERDICTS, Kind
from monitoring.probes.outcome import Hop, Outcome, Phases
from monitoring.probes.states import REASONS, State
from monitoring.results import Result
from tests.conftest import NOW

PHASE = st.none() | st.integers(0, 61_000_000)
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
IPS = st.none() | st.ip_addresses().map(str)
HOPS = st.builds(
    Hop,
    url=st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=20),
    method=st.just("GET"),
    status_code=st.none() | st.integers(100, 599),
    http_version=st.sampled_from(HTTP_VERSIONS),
    ip=IPS,
    phases=st.builds(Phases, PHASE, PHASE, PHASE, PHASE, PHASE),
)


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    state, reason = draw(st.sampled_from(sorted(VERDICTS, key=str)))
    if state is State.MISSED:
        return Outcome(state=state, reason=reason, detail=draw(TEXT), total_us=0)
    phases = Phases(*draw(st.tuples(PHASE, PHASE, PHASE, PHASE, PHASE)))
    hops = tuple(draw(st.lists(HOPS, max_size=3)))
    return Outcome(
        state=state,
        reason=reason,
        detail=draw(TEXT),
        status_code=draw(st.none() | st.integers(100, 999)),
        http_version=draw(st.sampled_from(HTTP_VERSIONS)),
        ip=draw(IPS),
        phases=phases,
        total_us=draw(st.just(phases.total_us) | st.integers(0, 2**31 - 1)),
        bytes=draw(st.none() | st.integers(0, 2**40)),
        redirects=len(hops),
        hops=hops,
    )


def row(domain_id: int, location_id: int, outcome: Outcome, **fields: Any) -> Row:
    missed = outcome.state is State.MISSED
    plain = Row(
        domain_id=domain_id,
        location_id=location_id,
        slot=NOW,
        kind=Kind.SCHEDULED,
        started_at=None if missed else NOW,
        outcome=outcome,
    )
    return plain._replace(**fields)


def plain(outcome: Outcome) -> dict[str, Any]:
    """Return what the view must show of an outcome."""
    missed = outcome.state is State.MISSED
    return {
        "state": outcome.state.value,
        "reason": None if outcome.reason is None else outcome.reason.value,
        "detail": outcome.detail,
        "status_code": outcome.status_code,
        "ip": outcome.ip,
        **outcome.phases._asdict(),
        "total_us": None if missed else outcome.total_us,
        "bytes": outcome.bytes,
        "redirects": None if missed else outcome.redirects,
        "http_version": outcome.http_version,
        "hops": [
            {"url": hop.url, "ip": hop.ip, "total_us": hop.phases.total_us} for hop in outcome.hops
        ]
        or None,
    }


class Packing(TestCase):
    """Against the real view."""

    @settings(deadline=None, max_examples=100)
    @given(
        outcomes(),
        st.sampled_from(Kind),
        st.timedeltas(timedelta(seconds=-5), timedelta(hours=25)),
        st.integers(1, 2**31 - 1),
        st.timedeltas(timedelta(0), timedelta(seconds=9)),
    )
    def test_what_goes_in_comes_out(
        self, outcome: Outcome, kind: Kind, late: timedelta, domain_id: int, offset: timedelta
    ) -> None:
        slot = NOW + offset
        started = None if outcome.state is State.MISSED else slot + late
        place, _ = Location.objects.get_or_create(name="local")
        partitions.ensure([slot])
        stored = row(domain_id, place.pk, outcome, kind=kind, slot=slot, started_at=started)
        assert ledger.insert([stored]) == {(domain_id, place.pk, slot)}
        found = Result.objects.get()
        assert (found.domain_id, found.location_id, found.slot) == (domain_id, place.pk, slot)
        assert (found.kind, found.started_at) == (kind.value, started)
        assert found.verdict == VERDICTS[outcome.state, outcome.reason]
        shown = {name: getattr(found, name) for name in plain(outcome)}
        if found.ip is not None:
            shown["ip"] = str(ip_address(found.ip))  # PostgreSQL writes some in another form
        if found.hops is not None:
            shown["hops"] = [
                {key: hop[key] for key in ("url", "ip", "total_us")} for hop in found.hops
            ]
        assert shown == plain(outcome)


def test_every_verdict_has_a_code_of_its_own() -> None:
    pairs = {(state, reason) for state, reasons in REASONS.items() for reason in reasons}
    assert pairs | {(State.UP, None)} == set(VERDICTS)
    assert sorted(VERDICTS.values()) == list(range(len(VERDICTS)))
    assert len(VERDICTS) <= 64


@pytest.mark.parametrize(
    ("fields", "late"),
    [
        ({"status_code": 1024}, 0),
        ({"redirects": 16}, 0),
        ({"http_version": "0.9"}, 0),
        ({}, 200_000),
        ({}, None),
    ],
)
def test_what_there_is_no_room_for_is_refused(
    db: None, fields: dict[str, Any], late: int | None
) -> None:
    outcome = Outcome(state=State.UP, total_us=0, **fields)
    started = None if late is None else NOW + timedelta(seconds=late)
    with pytest.raises(ValueError):  # noqa: PT011 - the words differ
        ledger.insert([row(1, 1, outcome, started_at=started)])


GOOD = {"connect_wait": 0, "tls_download": 0, "start_dns": 0, "bytes": -1, "ip": "", "note": ""}


@pytest.mark.parametrize(
    "fields",
    [
        {"tls_download": 30 << 58},
        {"tls_download": 25 << 58, "start_dns": 1 << 26},
        {"bytes": -2},
        {"note": "x"},
        {"note": "[]"},
        {"note": '{"detail": "\\u0000"}'},
    ],
)
def test_the_database_refuses_what_means_nothing(db: None, fields: dict[str, Any]) -> None:
    partitions.ensure([NOW])
    values = {**GOOD, **fields}
    if values["tls_download"] >= 2**63:
        values["tls_download"] -= 2**64
    with connection.cursor() as cursor, pytest.raises((IntegrityError, DataError)):
        cursor.execute(
            f"INSERT INTO {partitions.TABLE} (domain_id, location_id, slot, {', '.join(values)}) "
            f"VALUES (1, 1, %s, {', '.join(['%s'] * len(values))})",
            [NOW, *values.values()],
        )


def test_an_upgrade_keeps_every_row(db: None) -> None:
    domain = create_domain({"name": "d", "url": "http://127.0.0.1/"}, by=OPERATOR, now=NOW)
    place = Location.objects.create(name="local")
    hops = '[{"url": "http://a/", "ip": null, "total_us": 3}]'
    seen = {"status_code": 200, "redirects": 0, "state": "up"}
    rows: list[dict[str, Any]] = [
        {**seen, "ip": "10.0.0.1", "connect_us": 2, "wait_us": 4, "total_us": 6, "bytes": 9},
        {**seen, "ip": "2001:db8::1", "dns_us": 1, "tls_us": 3, "total_us": 4, "kind": "manual"},
        {**seen, "bytes": 7_000_000_000, "total_us": 5, "http_version": "2", "download_us": 5},
        {**seen, "state": "down", "reason": "status", "detail": 'a "word"', "total_us": 0},
        {**seen, "redirects": 2, "hops": hops, "wait_us": 1, "total_us": 1, "detail": "x"},
        {"state": "internal", "reason": "probe_error", "total_us": 99, "redirects": 0},
        {"state": "missed", "reason": "late", "started_at": None, "detail": "y"},
    ]
    read = f"SELECT {READ} FROM monitoring_result ORDER BY slot"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP VIEW monitoring_result; DROP TABLE {partitions.TABLE} CASCADE")
        cursor.execute(AS_IT_WAS)
        for number, fields in enumerate(rows):
            key = {"domain_id": domain.pk, "location_id": place.pk, "slot": slot_of(number)}
            late = slot_of(number) + timedelta(microseconds=number)
            values: dict[str, Any] = {
                "kind": "scheduled",
                "started_at": late,
                "detail": "",
                **fields,
                **key,
            }
            cursor.execute(
                f"INSERT INTO monitoring_result ({', '.join(values)}) "
                f"VALUES ({', '.join(['%s'] * len(values))})",
                list(values.values()),
            )
        cursor.execute(read)
        expected = cursor.fetchall()
        migration = import_module("monitoring.migrations.0004_pack_the_ledger")
        cursor.execute(migrated_table())
        migration.pack(None, SimpleNamespace(connection=connection))
        cursor.execute(read)
        assert cursor.fetchall() == expected
    assert [each.start.day for each in partitions.existing()] == [23, 24]


def slot_of(number: int) -> datetime:
    return NOW + timedelta(hours=5 * number)


def migrated_table() -> str:
    columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in COLUMNS)
    key = "PRIMARY KEY (domain_id, location_id, slot)"
    return f"CREATE TABLE {partitions.TABLE} ({columns}, {key}) PARTITION BY RANGE (slot)"


READ = (
    "domain_id, location_id, slot, kind, started_at, state, reason, detail, status_code, ip, "
    "dns_us, connect_us, tls_us, wait_us, download_us, total_us, bytes, redirects, "
    "http_version, hops"
)
AS_IT_WAS = """
    CREATE TABLE monitoring_result (
        slot timestamptz NOT NULL, kind varchar(9) NOT NULL, started_at timestamptz,
        state varchar(8) NOT NULL, reason varchar(20), detail varchar(300) NOT NULL,
        status_code smallint, ip inet, dns_us integer, connect_us integer, tls_us integer,
        wait_us integer, download_us integer, total_us integer, bytes bigint, redirects smallint,
        domain_id bigint NOT NULL, location_id integer NOT NULL, http_version varchar(3),
        hops jsonb, PRIMARY KEY (domain_id, slot, location_id)) PARTITION BY RANGE (slot);
    CREATE TABLE monitoring_result_d20261123 PARTITION OF monitoring_result
        FOR VALUES FROM ('2026-11-23T00:00:00Z') TO ('2026-11-24T00:00:00Z');
    CREATE TABLE monitoring_result_d20261124 PARTITION OF monitoring_result
        FOR VALUES FROM ('2026-11-24T00:00:00Z') TO ('2026-11-25T00:00:00Z');
"""
