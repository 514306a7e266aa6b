"""Messages on a real queue: sent together, each in its lane, and never more than matter."""

import ast
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
from django.db import connection, transaction

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import create_domain
from monitoring import dispatch, tasks
from monitoring.dispatch import Hint
from monitoring.models import Batch, Location
from sentinel.celery import app
from tests.conftest import NOW, MakeDomain
from tests.integration.locks import until, waiting_for_locks

PREFIX = "sentinel:probe."
SCHEDULED = "\x06\x169"  # kombu's separator, and the priority of scheduled checks


@pytest.fixture
def store() -> Iterator[Any]:
    with redis.from_url(os.environ["REDIS_URL"], decode_responses=True) as client:
        yield client


@pytest.fixture
def place(db: None) -> Location:
    """A location that no other test has messages at."""
    return Location.objects.create(name=f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def domain(make_domain: MakeDomain) -> Domain:
    return make_domain()


def batches(place: Location, domain: Domain, count: int, **fields: Any) -> list[Batch]:
    return Batch.objects.bulk_create(
        Batch(
            **{
                "kind": "scheduled",
                "location": place,
                "slot": NOW + number * timedelta(microseconds=1),
                "expires_at": NOW + timedelta(minutes=1),
                "domain_ids": [domain.pk],
                **fields,
            }
        )
        for number in range(count)
    )


def held(store: Any, place: Location, lane: str = "", priority: str = SCHEDULED) -> list[int]:
    """The ids in a queue's messages, first out first."""
    found = store.lrange(f"{PREFIX}{place.name}{lane}{priority}", 0, -1)
    bodies = [json.loads(message) for message in reversed(found)]
    return [ast.literal_eval(body["headers"]["kwargsrepr"])["batch_id"] for body in bodies]


def test_each_message_is_in_its_lane_manual_ones_before_the_others(
    store: Any, place: Location, domain: Domain
) -> None:
    quick, slow = batches(place, domain, 1)[0], batches(place, domain, 1, slow=True)[0]
    manual = batches(place, domain, 1, kind="manual", run_id=uuid.uuid4())[0]
    assert tasks.publish(dispatch.unsent()) == 3
    assert held(store, place) == [quick.pk]
    assert held(store, place, ".slow") == [slow.pk]
    assert held(store, place, priority="") == [manual.pk]
    assert dispatch.unsent() == []


def test_the_messages_of_a_sweep_leave_together(
    store: Any, place: Location, domain: Domain
) -> None:
    def reads(count: int) -> int:
        made = batches(place, domain, count)
        hints = [Hint(each.pk, place.name, manual=False, slow=False) for each in made]
        before = store.info("stats")["total_reads_processed"]
        assert tasks.publish(hints) == count
        assert held(store, place)[-count:] == [each.pk for each in made]
        after: int = store.info("stats")["total_reads_processed"]
        return after - int(before)

    one = reads(1)
    assert reads(60) < one + 30  # it reads 16 KB at a time


def test_a_queue_that_is_away_leaves_the_batches_unsent(
    place: Location, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch,) = batches(place, domain, 1)
    away = app.connection_for_write("redis://127.0.0.1:1/0")
    monkeypatch.setattr(app, "connection_for_write", lambda **_: away)
    assert tasks.publish(dispatch.unsent()) == 0
    assert [hint.batch_id for hint in dispatch.unsent()] == [batch.pk]


def test_a_request_waits_for_a_queue_that_hangs_once_and_not_for_long(
    place: Location, domain: Domain, monkeypatch: pytest.MonkeyPatch, store: Any
) -> None:
    real = app.connection_for_write
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hanging = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        monkeypatch.setattr(app, "connection_for_write", partial(real, hanging))
        monkeypatch.setattr(tasks, "_left_alone_until", 0.0)
        run_ids = [uuid.uuid4() for _ in range(5)]
        made = [batches(place, domain, 1, kind="manual", run_id=each)[0] for each in run_ids]
        began = time.monotonic()
        for run_id in run_ids:
            tasks.publish_run(run_id)
        assert time.monotonic() - began < 2  # it was six seconds for each
    assert sorted(hint.batch_id for hint in dispatch.unsent()) == [each.pk for each in made]
    monkeypatch.setattr(app, "connection_for_write", real)
    tasks.publish_run(run_ids[0])
    assert held(store, place, priority="") == []  # they are left to the next sweep
    monkeypatch.setattr(tasks, "_left_alone_until", 0.0)
    tasks.publish_run(run_ids[0])
    assert held(store, place, priority="") == [made[0].pk]


def test_messages_that_nobody_consumes_do_not_pile_up(
    store: Any, place: Location, domain: Domain
) -> None:
    ended = batches(place, domain, 150, finished_at=NOW)
    tasks.publish(Hint(each.pk, place.name, manual=False, slow=False) for each in ended)
    (waiting,) = batches(place, domain, 1, enqueued_at=NOW)
    tasks.bound_queues()
    assert held(store, place) == []
    assert tasks.publish(dispatch.unsent()) == 1
    assert held(store, place) == [waiting.pk]


def test_a_queue_whose_messages_matter_is_left_alone(
    store: Any, place: Location, domain: Domain
) -> None:
    made = batches(place, domain, 150)
    tasks.publish(dispatch.unsent())
    tasks.bound_queues()
    assert held(store, place) == [each.pk for each in made]


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_marked_before_its_message_can_be_taken(store: Any) -> None:
    """Who takes it may give it back at once, which would be undone by a mark that comes after."""
    place = Location.objects.create(name=f"t{uuid.uuid4().hex[:12]}")
    domain = create_domain({"name": "d", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW)
    (batch,) = batches(place, domain, 1)
    hints = dispatch.unsent()

    def publish() -> int:
        try:
            return tasks.publish(hints)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            Batch.objects.select_for_update().get(pk=batch.pk)
            sending = thread.submit(publish)
            until(lambda: waiting_for_locks() == 1, "it cannot be marked")
            assert held(store, place) == []
        assert sending.result() == 1
    assert held(store, place) == [batch.pk]
