"""The audit by the API: newest first, whole, and filtered."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains.audit import OPERATOR, Actor, AuditEntry, Change, record
from domains.paging import encode_cursor
from sentinel.access.audit import page_of_audit
from tests.conftest import NOW

pytestmark = pytest.mark.django_db

AUDIT = "/api/audit/"
NOTHING: dict[str, Any] = dict.fromkeys(
    ("start", "end", "actor", "action", "object_kind", "object_id")
)


def write(number: int, *, at: datetime = NOW, by: Actor = OPERATOR, kind: str = "domain") -> None:
    change = Change(
        action=f"{kind}.changed",
        object_kind=kind,
        object_id=number,
        before={"interval": 60},
        after={"interval": 300},
    )
    record([change], by=by, now=at)


def listed(client: Client, query: str = "") -> list[dict[str, Any]]:
    found, path = [], f"{AUDIT}?limit=2&{query}"
    while path:
        answer = client.get(path.removeprefix("http://testserver"))
        assert answer.status_code == 200, answer.content
        page = answer.json()
        found += page["items"]
        path = page["next"]
    return found


def test_an_entry_says_who_what_and_when(client: Client) -> None:
    write(7, by=Actor("user", 3, "ada", request_id="abc"))
    (entry,) = listed(client)
    assert entry.pop("id") > 0
    assert entry == {
        "at": "2026-11-23T12:00:00Z",
        "actor": {"kind": "user", "id": 3, "name": "ada"},
        "action": "domain.changed",
        "object_kind": "domain",
        "object_id": 7,
        "before": {"interval": 60},
        "after": {"interval": 300},
        "request_id": "abc",
    }


def test_filters_alone_and_together(client: Client) -> None:
    key, user = Actor("key", 4, "deploy"), Actor("user", 4, "ada")
    for number, (by, kind) in enumerate(
        itertools.product((OPERATOR, key, user), ("domain", "key")), start=1
    ):
        write(number, at=NOW + timedelta(minutes=number), by=by, kind=kind)

    def numbers(query: str) -> list[int]:
        return [entry["object_id"] for entry in listed(client, query)]

    assert numbers("") == [6, 5, 4, 3, 2, 1]
    assert numbers("actor=key:4") == [4, 3]
    assert numbers("actor=user:4") == [6, 5]
    assert numbers("actor=deploy") == [4, 3]
    assert numbers("actor=operator&action=key.changed") == [2]
    assert numbers("object_kind=domain") == [5, 3, 1]
    assert numbers("object_kind=domain&object_id=3") == [3]
    assert numbers("from=2026-11-23T12:02:00Z&to=2026-11-23T12:05:00Z") == [4, 3, 2]
    assert numbers("actor=nobody") == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=yesterday", "from"),
        ("from=2026-11-23T12:00:00Z&to=2026-11-23T12:00:00Z", "to"),
        ("actor=", "actor"),
        ("actor=a%00b", "actor"),
        ("action=created", "action"),
        ("object_kind=Domain!", "object_kind"),
        ("object_id=0", "object_id"),
        (f"object_id={2**63}", "object_id"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        (f"cursor={encode_cursor(5)}", "cursor"),
        (f"cursor={encode_cursor('yesterday', 5)}", "cursor"),
        (f"cursor={encode_cursor('2026-11-23T12:00:00', 5)}", "cursor"),
        (f"cursor={encode_cursor('0001-01-01T00:00:00+23:59', 5)}", "cursor"),
    ],
)
def test_a_bad_parameter_is_named(client: Client, query: str, parameter: str) -> None:
    answer = client.get(f"{AUDIT}?{query}")
    assert answer.status_code == 422, answer.content
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


def test_nobody_changes_it_by_the_api(client: Client) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.generic(method, AUDIT).status_code == 405


@given(
    before=st.lists(st.integers(0, 3), max_size=12),
    between=st.lists(st.lists(st.integers(0, 6), max_size=3), max_size=14),
    limit=st.integers(1, 5),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_entry_is_twice_or_skipped_while_others_come(
    db: None, before: list[int], between: list[list[int]], limit: int
) -> None:
    # Seconds, so that many are of the same instant; some come late, behind what was read.
    with transaction.atomic():
        for second in before:
            write(1, at=NOW + timedelta(seconds=second))
        there = set(AuditEntry.objects.values_list("pk", flat=True))
        found: list[AuditEntry] = []
        cursor: str | None = None
        for come in itertools.chain(between, itertools.repeat([])):
            page, cursor = page_of_audit(**NOTHING, cursor=cursor, limit=limit)
            assert len(page) <= limit
            found += page
            if cursor is None:
                break
            for second in come:
                write(1, at=NOW + timedelta(seconds=second))
        places = [(entry.at, entry.pk) for entry in found]
        assert places == sorted(set(places), reverse=True)
        assert there <= {entry.pk for entry in found}
        transaction.set_rollback(True)


def test_a_page_is_read_by_the_index_of_its_order(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO domains_auditentry (at, actor_kind, actor_name, action, object_kind, "
            "object_id, after, request_id) SELECT %s + n * interval '1 s', 'command', 'operator', "
            "'domain.created', 'domain', n, '{}', '' FROM generate_series(1, 20000) n",
            [NOW],
        )
        cursor.execute("ANALYZE domains_auditentry")
        cursor.execute(
            "EXPLAIN SELECT * FROM domains_auditentry WHERE at < %s AND (at, id) < (%s, %s) "
            "ORDER BY at DESC, id DESC LIMIT 101",
            [NOW + timedelta(seconds=9000), NOW + timedelta(seconds=5000), 2**62],
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Scan Backward using auditentry_at" in plan
    assert "Sort" not in plan
