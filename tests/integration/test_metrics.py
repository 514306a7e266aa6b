"""The metrics say what the ledger and the queues are, to who may know."""

from datetime import datetime, timedelta
from unittest.mock import patch

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from domains.clock import database_now
from monitoring import dispatch, gauges, partitions
from monitoring.accounting import accounts
from monitoring.ledger import Row
from monitoring.models import Batch
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State
from monitoring.recording import finish, record
from sentinel import metrics
from tests.conftest import NOW, MakeDomain

UP = Outcome(state=State.UP, total_us=1)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test have the text of its own database."""
    monkeypatch.setattr(metrics, "_kept", metrics.Kept(metrics.Cluster()))


def sampled(client: Client) -> dict[tuple[str, ...], float]:
    text = client.get("/metrics").content.decode()
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def check_all() -> None:
    for batch in Batch.objects.filter(finished_at=None):
        record(
            [
                Row(
                    domain_id=domain_id,
                    location_id=batch.location_id,
                    slot=batch.slot,
                    kind=Kind.SCHEDULED,
                    started_at=batch.slot,
                    outcome=UP,
                )
                for domain_id in batch.domain_ids
            ]
        )
        finish([batch.pk])


def sweep(now: datetime) -> None:
    dispatch.sweep(now=now, retention=timedelta(days=30))


def test_the_last_hour_and_what_waits(
    client: Client, make_domain: MakeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = database_now()
    make_domain(interval=5, since=now - timedelta(minutes=5))
    sweep(now - timedelta(minutes=3))
    check_all()
    found = sampled(client)
    due = found["sentinel_ledger_slots", "expected"]
    assert due > 0
    assert found["sentinel_ledger_slots", "up"] + found["sentinel_ledger_slots", "missed"] == due
    assert found["sentinel_ledger_violations",] == 0
    assert 0 < found["sentinel_ledger_coverage_ratio",] <= 1
    assert found["sentinel_last_tick_age_seconds",] == pytest.approx(180, abs=15)
    assert found["sentinel_open_batches", "usual", "local", "waiting"] == 0

    sweep(database_now())
    waiting = Batch.objects.filter(finished_at=None).count()
    monkeypatch.setattr(metrics, "_kept", metrics.Kept(metrics.Cluster()))
    found = sampled(client)
    assert found["sentinel_open_batches", "usual", "local", "waiting"] == waiting > 0
    assert found["sentinel_waiting_slots", "usual", "local"] == waiting


def test_a_lost_row_is_a_violation(client: Client, make_domain: MakeDomain) -> None:
    now = database_now()
    make_domain(interval=5, since=now - timedelta(minutes=5))
    sweep(now - timedelta(minutes=3))
    check_all()
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {partitions.TABLE} "
            f"WHERE slot = (SELECT max(slot) FROM {partitions.TABLE})"
        )
    assert sampled(client)["sentinel_ledger_violations",] == 1


def test_only_minutes_that_may_change_are_counted_again(make_domain: MakeDomain) -> None:
    make_domain(interval=5)
    for minute in range(10):
        sweep(NOW + timedelta(minutes=minute))
        check_all()
    hour = gauges.LastHour()
    now = NOW + timedelta(minutes=9, seconds=30)
    first = hour.accounts(now=now)
    with patch("monitoring.gauges.accounts", wraps=accounts) as counted:
        assert hour.accounts(now=now) == first
    (begin, end), _ = counted.call_args
    assert (begin, end) == (NOW + timedelta(minutes=8), NOW + timedelta(minutes=9))
    assert sum(one.expected for one in first) > 50


def test_who_scrapes_often_is_answered_from_memory(client: Client) -> None:
    client.get("/metrics")
    with CaptureQueriesContext(connection) as queries:
        client.get("/metrics")
    assert len(queries) <= 2  # the clock and the key
    assert not any("monitoring_" in query["sql"] for query in queries)


def test_a_key_is_needed_unless_the_operator_opened_it(client: Client) -> None:
    answer = Client().get("/metrics")
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert Client(headers={"X-API-Key": "wrong"}).get("/metrics").status_code == 401
    assert client.get("/metrics").status_code == 200
    assert client.post("/metrics").status_code == 405
    with override_settings(SENTINEL_METRICS_OPEN=True):
        assert Client().get("/metrics").status_code == 200
