"""``Idempotency-Key``: sent again, one effect and one answer."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from domains.clock import database_now
from domains.models import Domain, PastSchedule
from domains.schedules import take_schedules
from domains.secrets import seal
from monitoring.models import Batch
from sentinel.access.bootstrap import store_bootstrap_key
from sentinel.celery import app
from sentinel.idempotency import keeping, tasks
from sentinel.idempotency.models import IdempotentRequest
from tests.conftest import KEY, NOW, MakeDomain
from tests.integration.locks import until, waiting_for_locks
from tests.integration.test_api import DOMAINS, assert_problem

BODY = {"name": "x", "url": "http://example.org/"}


def send(client: Client, body: Any, key: str | None = "k1", path: str = DOMAINS) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def test_the_same_request_again_gets_the_same_answer_and_no_second_effect(client: Client) -> None:
    first, again = send(client, BODY), send(client, BODY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again["Location"] == first["Location"]
    assert again["Content-Type"] == first["Content-Type"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert Domain.objects.count() == 1


def test_without_a_key_each_request_counts(client: Client) -> None:
    send(client, BODY, None)
    send(client, BODY, None)
    assert Domain.objects.count() == 2
    assert not IdempotentRequest.objects.exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (DOMAINS, {**BODY, "name": "y"}),
        (f"{DOMAINS}?", {**BODY, "tags": ["a"]}),
        ("/api/monitoring/{domain}/check", BODY),
    ],
)
def test_another_request_under_the_same_key_is_refused(
    client: Client, path: str, body: dict[str, Any]
) -> None:
    domain = send(client, BODY).json()["id"]
    problem = assert_problem(send(client, body, path=path.format(domain=domain)), 422)
    assert "Idempotency-Key" in problem["detail"]
    assert [each["header"] for each in problem["errors"]] == ["Idempotency-Key"]
    assert Domain.objects.count() == 1
    assert not Batch.objects.exists()


def test_callers_do_not_share_keys(client: Client) -> None:
    send(client, BODY)
    from sentinel.access.models import ApiKey

    ApiKey.objects.update(name="older")
    other = "other-key-0123456789-0123456789-0123456789"
    store_bootstrap_key(other, now=NOW)
    send(Client(headers={"X-API-Key": other}), {**BODY, "name": "y"})
    assert Domain.objects.count() == 2


def test_a_key_that_was_rotated_is_the_same_caller(client: Client) -> None:
    first = send(client, BODY)
    for _ in range(2):
        known = client.get("/api/keys/").json()["items"]
        newest = max(item["id"] for item in known)
        made = send(client, {}, None, f"/api/keys/{newest}/rotate")
        assert made.status_code == 201
        client = Client(headers={"X-API-Key": made.json()["key"]})
        again = send(client, BODY)
        assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
        assert_problem(send(client, {**BODY, "name": "y"}), 422)
    assert Domain.objects.count() == 1


def test_a_refused_request_may_be_corrected_under_its_key(client: Client) -> None:
    assert_problem(send(client, {**BODY, "interval": 61}), 422)
    both = {**BODY, "method": "GET", "body": "x"}
    assert_problem(send(client, both), 422)  # by a rule between fields, inside the view
    assert send(client, BODY).status_code == 201
    assert Domain.objects.count() == 1


def test_a_defect_leaves_neither_effect_nor_row(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("domains.api.single.domain_out", broken)
        assert_problem(send(client, BODY), 500)
    assert not Domain.objects.exists()
    assert not IdempotentRequest.objects.exists()
    assert send(client, BODY).status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 201, "\x7f"])
def test_a_key_that_cannot_be_is_named(client: Client, key: str) -> None:
    problem = assert_problem(send(client, BODY, key), 422)
    assert problem["errors"][0]["header"] == "Idempotency-Key"
    assert not Domain.objects.exists()


def test_after_a_day_a_key_is_free_again(client: Client) -> None:
    send(client, BODY)
    IdempotentRequest.objects.update(created_at=NOW - timedelta(days=400))
    assert send(client, {**BODY, "name": "y"}).status_code == 201
    assert send(client, {**BODY, "name": "y"})["Idempotency-Replayed"] == "true"


def answers(caller: str, count: int, *, age: timedelta = timedelta(0), size: int = 10) -> None:
    """Have a caller been answered so often, each a second after the other."""
    IdempotentRequest.objects.bulk_create(
        IdempotentRequest(
            caller=caller,
            key=f"{age} {number}",
            fingerprint=b"",
            created_at=NOW - age + timedelta(seconds=number),
            sealed_body="x" * size,
        )
        for number in range(count)
    )


def left(caller: str) -> int:
    return IdempotentRequest.objects.filter(caller=caller).count()


@pytest.mark.django_db
def test_old_answers_go_by_upkeep_in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_AT_ONCE", 10)
    answers("a", 25, age=timedelta(days=2))
    answers("a", 5, age=timedelta(hours=23))
    assert keeping.forget(now=NOW, seconds=0) == 10
    assert keeping.forget(now=NOW, seconds=9) == 15
    assert left("a") == 5


@pytest.mark.django_db
@pytest.mark.parametrize(("limit", "value"), [("MOST_ANSWERS", 4), ("MOST_BYTES", 49)])
def test_a_caller_keeps_its_newest_answers_only(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(keeping, limit, value)
    monkeypatch.setattr(keeping, "MOST_AT_ONCE", 3)
    answers("a", 20)
    answers("b", 4)
    assert keeping.forget(now=NOW, seconds=9) == 16
    assert (left("a"), left("b")) == (4, 4)
    assert set(IdempotentRequest.objects.filter(caller="a").values_list("key", flat=True)) == {
        f"0:00:00 {number}" for number in (16, 17, 18, 19)
    }


@pytest.mark.django_db(transaction=True)  # the task lets go of the connection
def test_beat_has_old_answers_forgotten() -> None:
    answers("a", 3, age=timedelta(days=400))
    tasks.forget_answers()
    assert left("a") == 0
    entries = app.conf.beat_schedule.values()
    (entry,) = [each for each in entries if each["task"] == tasks.forget_answers.name]
    assert entry["options"]["queue"] == app.conf.task_routes[entry["task"]]["queue"]


def test_nothing_of_the_answer_can_be_read_in_the_table(client: Client) -> None:
    send(client, {**BODY, "name": "canary-5d1f"})
    row = IdempotentRequest.objects.values_list("headers", "sealed_body", "fingerprint").get()
    assert "canary" not in repr(row)
    assert str(row[1]).startswith("gAAAA")  # Fernet's version byte


def test_an_answer_that_no_key_opens_any_more(client: Client, settings: Any) -> None:
    send(client, BODY)
    settings.SENTINEL_ENCRYPTION_KEYS = (Fernet.generate_key().decode(),)
    assert seal("x")
    assert_problem(send(client, BODY), 409)
    assert Domain.objects.count() == 1


def test_a_manual_check_sent_again_is_one_run(
    client: Client, make_domain: MakeDomain, django_capture_on_commit_callbacks: Any
) -> None:
    path = f"/api/monitoring/{make_domain().pk}/check"
    with django_capture_on_commit_callbacks(execute=True):
        first = client.post(path, headers={"Idempotency-Key": "k"})
        again = client.post(path, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert Batch.objects.count() == 1


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Return what each of several threads got, with a connection of its own."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == count
    return found


@pytest.fixture
def lasting_client(transactional_db: None) -> Client:
    store_bootstrap_key(KEY, now=NOW)
    return Client(headers={"Authorization": f"Bearer {KEY}"}, raise_request_exception=False)


def test_of_many_at_once_one_has_an_effect(lasting_client: Client) -> None:
    def work() -> Any:
        client = Client(headers={"Authorization": f"Bearer {KEY}"})
        return send(client, BODY)

    answers = in_threads(8, work)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1
    assert Domain.objects.count() == 1


def test_one_under_way_for_long_is_told_of(lasting_client: Client) -> None:
    with transaction.atomic():
        IdempotentRequest.objects.create(
            caller=_caller(), key="k1", fingerprint=b"", created_at=NOW
        )
        began = time.monotonic()
        (answer,) = in_threads(1, lambda: send(lasting_client, BODY))
        assert 0.9 < time.monotonic() - began < 4
    problem = assert_problem(answer, 409)
    assert answer["Retry-After"] == "1"
    assert "under way" in problem["detail"]
    assert not Domain.objects.exists()


def test_who_waits_for_one_that_fails_has_the_effect(lasting_client: Client) -> None:
    answers: list[Any] = []

    def second() -> None:
        try:
            answers.append(send(lasting_client, BODY))
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        IdempotentRequest.objects.create(
            caller=_caller(), key="k1", fingerprint=b"", created_at=NOW
        )
        thread.start()
        until(waiting_for_locks, "the second waits for the first")
        transaction.set_rollback(True)
    thread.join(60)
    assert answers[0].status_code == 201
    assert Domain.objects.count() == 1


def test_what_the_server_says_of_waiting_holds_for_the_request_itself(client: Client) -> None:
    found: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'INSERT INTO "domains_domain"' in sql:
            with context["connection"].connection.cursor() as cursor:
                found.extend(cursor.execute("SHOW lock_timeout").fetchone())
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")  # as an operator may have set it
    with connection.execute_wrapper(look):
        assert send(client, BODY).status_code == 201
    assert found == ["7s"]


@pytest.mark.parametrize("key", [None, "k1"])
@pytest.mark.parametrize("path", ["", "bulk/create", "bulk/pause", "bulk/delete"])
def test_sweeps_wait_for_nothing_but_the_end_of_the_transaction(
    lasting_client: Client, path: str, key: str | None
) -> None:
    """The schedules' lock is taken when all is written, also the answer that is kept."""
    known = [send(lasting_client, BODY, None).json()["id"] for _ in range(2)]
    items = {"items": [BODY, BODY]} if path == "bulk/create" else {"ids": known}
    with CaptureQueriesContext(connection) as queries:
        answer = send(lasting_client, items if path else BODY, key, DOMAINS + path)
    assert answer.status_code in (200, 201)
    written = [query["sql"] for query in queries]
    (taken,) = [n for n, sql in enumerate(written) if "pg_advisory_xact_lock_shared" in sql]
    horizon, end, *_ = written[taken + 1 :]
    assert ("domains_horizon" in horizon, end) == (True, "COMMIT")
    stored = [n for n, sql in enumerate(written) if "sealed_body" in sql and "UPDATE" in sql[:7]]
    assert len(stored) == (key is not None)
    assert PastSchedule.objects.count() == (0 if "create" in path or not path else 2)


def test_a_keyed_change_that_a_sweep_overtakes_begins_after_it(lasting_client: Client) -> None:
    """It is known only at the end when schedules begin; the rows are corrected then."""
    before = send(lasting_client, BODY, "k0").json()["id"]
    taken = database_now() + timedelta(hours=1)
    with transaction.atomic():
        take_schedules(until=taken)
    after = send(lasting_client, BODY).json()["id"]
    turn = taken + timedelta(microseconds=1)
    assert Domain.objects.get(pk=after).scheduled_since == turn
    paused = send(lasting_client, {"ids": [before, after]}, "k2", f"{DOMAINS}bulk/pause")
    assert paused.json()["succeeded"] == 2
    assert set(Domain.objects.values_list("scheduled_since", flat=True)) == {turn}
    past = PastSchedule.objects.get()  # the other one was due at no slot
    assert (past.domain_id, past.until) == (before, turn)


def test_a_keyed_request_that_fails_leaves_the_schedules_alone(
    lasting_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched, CaptureQueriesContext(connection) as queries:
        patched.setattr("domains.api.single.domain_out", broken)
        assert_problem(send(lasting_client, BODY), 500)
    assert not [query for query in queries if "pg_advisory_xact_lock_shared" in query["sql"]]
    send(lasting_client, BODY)
    assert Domain.objects.count() == 1


def _caller() -> str:
    from sentinel.access.models import ApiKey

    return f"key:{ApiKey.objects.get().pk}"
