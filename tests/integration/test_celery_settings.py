"""Settings of Celery and Redis, each by the fault that it is there for.

Those of half-open connections are in test_health.py, with a worker.
"""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery.exceptions import QueueNotFound
from celery.fixups.django import DjangoWorkerFixup
from django.db import connection
from kombu.entity import Queue
from kombu.exceptions import ContentDisallowed

from monitoring.queues import queue
from sentinel.celery import app
from sentinel.queue_canary import TASK
from sentinel.reconnecting import LONGEST_SECONDS


@pytest.fixture
def store() -> Iterator[Any]:
    with redis.from_url(os.environ["REDIS_URL"], decode_responses=True) as client:
        yield client


@pytest.fixture
def lanes() -> list[Queue]:
    """Two queues that no other test has messages in."""
    name = f"settings{uuid.uuid4().hex[:12]}"
    return [queue(name), queue(f"{name}.slow")]


def send(lane: Queue, name: str, **options: Any) -> None:
    app.send_task(name, queue=lane, declare=(), ignore_result=True, **options)


def take(lanes: list[Queue], count: int) -> list[tuple[str, str]]:
    """Consume so many; return each one's task and queue."""
    taken = []

    def keep(_: Any, message: Any) -> None:
        taken.append((message.headers["task"], message.delivery_info["routing_key"]))
        message.ack()

    with (
        app.connection_for_read() as broker,
        app.amqp.Consumer(
            broker.default_channel,
            queues=lanes,
            callbacks=[keep],
            accept=app.conf.accept_content,
            prefetch_count=1,
        ),
    ):
        while len(taken) < count:
            broker.drain_events(timeout=5)
    return taken


def test_what_was_asked_for_by_hand_goes_first_and_the_lanes_take_turns(lanes: list[Queue]) -> None:
    quick, slow = lanes
    for _ in range(3):
        send(quick, "scheduled", priority=9)
    for _ in range(3):
        send(slow, "scheduled", priority=9)
    send(slow, "by hand", priority=0)
    first, *others = take(lanes, 7)
    assert first == ("by hand", slow.name)
    names = [name for _, name in others]
    assert names in ([quick.name, slow.name] * 3, [slow.name, quick.name] * 3)


def test_only_json_is_read(lanes: list[Queue]) -> None:
    send(lanes[0], "pickled", serializer="pickle")
    with pytest.raises(ContentDisallowed):
        take(lanes, 1)


def test_two_clusters_on_one_redis_do_not_read_each_other_s_messages(
    store: Any, lanes: list[Queue]
) -> None:
    send(lanes[0], "ours")
    keys = [key for key in store.scan_iter(f"*{lanes[0].name}*") if "binding" not in key]
    assert keys
    assert all(key.startswith("sentinel:") for key in keys)


def test_a_queue_that_is_mistyped_is_an_error() -> None:
    with pytest.raises(QueueNotFound, match="contorl"):
        app.send_task("monitoring.sweep", queue="contorl", ignore_result=True)
    with pytest.raises(KeyError, match="contorl"):
        app.amqp.Queues(app.conf.task_queues, create_missing=False).select(["contorl"])


def test_a_message_whose_worker_was_killed_comes_again(store: Any, lanes: list[Queue]) -> None:
    """What ``visibility_timeout`` is there for: by kombu's own it would take an hour."""
    send(lanes[0], "lost")
    limit = app.conf.task_time_limit
    with app.connection_for_read() as killed:
        message = lanes[0](killed.default_channel).get()
        index, tag = "sentinel:unacked_index", message.delivery_tag
        for age, returned in ((limit, 0), (limit * 3, 1)):
            store.zadd(index, {tag: store.time()[0] - age})
            with app.connection_for_read() as other:
                other.default_channel.qos.restore_visible(interval=1)
                lane = lanes[0](other.default_channel)
                assert lane.queue_declare(passive=False).message_count == returned
        message.ack()


@pytest.mark.parametrize("answer", ["ack", "reject"])
def test_what_cannot_be_acknowledged_keeps_nothing_else_from_being_taken(
    store: Any, lanes: list[Queue], answer: str
) -> None:
    """By kombu's own it stays in hand, and with a prefetch of one that is the end of it."""
    send(lanes[0], "first")
    send(lanes[0], "second")
    index = f"index-{lanes[0].name}"
    taken: list[Any] = []
    with (
        app.connection_for_read(transport_options={"unacked_index_key": index}) as broker,
        app.amqp.Consumer(
            broker.default_channel,
            queues=lanes,
            callbacks=[lambda _, message: taken.append(message)],
            accept=app.conf.accept_content,
            prefetch_count=1,
        ),
    ):
        broker.drain_events(timeout=5)
        store.delete(f"sentinel:{index}")
        store.set(f"sentinel:{index}", "no sorted set")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            getattr(taken[0], answer)()
        store.delete(f"sentinel:{index}")
        broker.drain_events(timeout=5)
        assert [message.headers["task"] for message in taken] == ["first", "second"]
        taken[1].ack()


@pytest.mark.django_db(transaction=True)
def test_the_connection_to_the_database_is_kept_from_task_to_task() -> None:
    """What ``CELERY_DB_REUSE_MAX`` is there for: Celery itself closes it after each."""

    def backend() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()

    fixup, task = DjangoWorkerFixup(app), app.tasks[TASK]
    before = backend()
    for _ in range(3):
        fixup.on_task_prerun(sender=task)
        fixup.on_task_postrun(sender=task)
        assert backend() == before


def test_attempts_to_reach_redis_keep_coming_and_never_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    waits: list[float] = []

    class EnoughError(Exception):
        pass

    def note(_: Exception, interval: float) -> None:
        waits.append(interval)
        if len(waits) == 150:
            raise EnoughError

    with app.connection_for_read("redis://127.0.0.1:1/0") as broker, pytest.raises(EnoughError):
        broker.ensure_connection(note, app.conf.broker_connection_max_retries)
    assert max(waits) == LONGEST_SECONDS


def test_a_message_in_hand_when_its_connection_broke_is_acknowledged_by_another(
    lanes: list[Queue], store: Any
) -> None:
    send(lanes[0], "in hand")
    broker = app.connection_for_read()
    message = lanes[0](broker.default_channel).get(no_ack=False)
    assert message is not None
    tag = message.delivery_tag
    # What is left after an error in the midst of an answer.
    message.channel._disconnect_pools()
    broker._do_close_transport()
    assert store.hexists("sentinel:unacked", tag)
    message.ack()
    assert not store.hexists("sentinel:unacked", tag)


def test_a_worker_does_not_begin_with_advice_to_rewrite_its_settings() -> None:
    # Celery takes CELERY_TIMEZONE for a name of old, with Django's prefix or without.
    assert app.conf.enable_utc
    assert not app.conf.deprecated_settings
    assert str(app.timezone) == "UTC"
