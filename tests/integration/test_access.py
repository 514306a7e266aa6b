"""API keys: hashed, expiring, revocable."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client, RequestFactory
from structlog.testing import capture_logs

from domains.audit import OPERATOR, AuditEntry
from domains.clock import database_now
from domains.rules import FieldsRefused
from sentinel.access.authentication import ways
from sentinel.access.bootstrap import store_bootstrap_key
from sentinel.access.conflicts import LastAdminKey
from sentinel.access.keys import digest_of, find_key
from sentinel.access.models import ApiKey
from sentinel.access.services import (
    BOOTSTRAP,
    admin_keys,
    alone,
    change_key,
    create_key,
    revoke_key,
    rotate_key,
)
from sentinel.key_files import new_key
from tests.conftest import KEY, NOW
from tests.integration.locks import until, waiting_for_locks

pytestmark = pytest.mark.django_db


def test_a_key_has_a_public_prefix_and_256_random_bits() -> None:
    prefix, _, secret = new_key().partition(".")
    assert len(prefix) == 8
    assert len(secret) >= 43
    assert new_key() != new_key()


def test_the_key_itself_is_not_stored() -> None:
    key = new_key()
    store_bootstrap_key(key, now=NOW)
    row = ApiKey.objects.values().get()
    assert key.partition(".")[2] not in str(row)
    assert bytes(row["digest"]) == digest_of(key)


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_both_headers_open_the_api(header: str) -> None:
    store_bootstrap_key(KEY, now=NOW)
    value = f"Bearer {KEY}" if header == "Authorization" else KEY
    assert Client(headers={header: value}).get("/api/domains/").status_code == 200


def test_a_new_bootstrap_key_revokes_the_old_one() -> None:
    store_bootstrap_key(KEY, now=NOW)
    other = new_key()
    store_bootstrap_key(other, now=NOW)
    store_bootstrap_key(other, now=NOW)
    assert find_key(KEY, now=NOW) is None
    assert find_key(other, now=NOW) is not None
    assert ApiKey.objects.filter(name=BOOTSTRAP, rotated_at=None).count() == 1
    store_bootstrap_key(KEY, now=NOW)
    assert find_key(KEY, now=NOW) is not None


def test_a_revoked_or_expired_key_is_401() -> None:
    store_bootstrap_key(KEY, now=NOW)
    client = Client(headers={"X-API-Key": KEY})
    ApiKey.objects.update(expires_at=database_now() + timedelta(minutes=1))
    assert client.get("/api/domains/").status_code == 200
    ApiKey.objects.update(expires_at=database_now())
    assert client.get("/api/domains/").status_code == 401
    ApiKey.objects.update(expires_at=None, revoked_at=database_now())
    assert client.get("/api/domains/").status_code == 401


def test_the_last_use_is_noted_to_the_minute() -> None:
    store_bootstrap_key(KEY, now=NOW)
    find_key(KEY, now=NOW)
    find_key(KEY, now=NOW + timedelta(seconds=59))
    assert ApiKey.objects.get().last_used_at == NOW
    find_key(KEY, now=NOW + timedelta(seconds=61))
    assert ApiKey.objects.get().last_used_at == NOW + timedelta(seconds=61)


def test_what_people_did_to_a_key_is_not_undone_by_a_start() -> None:
    key = store_bootstrap_key(KEY, now=NOW)
    revoke_key(key.pk, by=OPERATOR, now=NOW, spare_admin=False)
    assert store_bootstrap_key(KEY, now=NOW).state(now=NOW) == "revoked"
    assert find_key(KEY, now=NOW) is None

    given = new_key()
    first = store_bootstrap_key(given, now=NOW)
    assert first.scopes == ["admin"]
    _, second, text = rotate_key(first.pk, overlap=timedelta(0), by=OPERATOR, now=NOW)
    store_bootstrap_key(given, now=NOW)
    assert find_key(given, now=NOW) is None
    assert find_key(text, now=NOW) is not None
    create_key(name="other", scopes=["admin"], expires_at=None, by=OPERATOR, now=NOW)
    change_key(second.pk, {"scopes": ["read"]}, by=OPERATOR, now=NOW)
    assert store_bootstrap_key(text, now=NOW).scopes == ["read"]
    third = new_key()
    assert store_bootstrap_key(third, now=NOW).scopes == ["admin"]
    assert find_key(text, now=NOW) is None


def test_noting_the_last_use_costs_one_write_a_minute(django_assert_num_queries: Any) -> None:
    store_bootstrap_key(KEY, now=NOW)
    with django_assert_num_queries(4):  # a savepoint around the write: the test's transaction
        find_key(KEY, now=NOW)
    with django_assert_num_queries(1):
        find_key(KEY, now=NOW + timedelta(seconds=30))


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "both"])
def test_whose_key_it_is_costs_one_query(django_assert_num_queries: Any, header: str) -> None:
    store_bootstrap_key(KEY, now=NOW)
    find_key(KEY)  # which notes the use
    for text in (KEY, new_key()):
        headers = {"Authorization": f"Bearer {text}", "X-API-Key": text}
        if header != "both":
            headers = {header: headers[header]}
        request = RequestFactory().get("/", headers=headers)
        with django_assert_num_queries(1):
            held = next((key for way in ways() if (key := way(request))), None)
        assert (held is not None) == (text == KEY)


def test_of_a_key_that_was_given_no_part_is_shown() -> None:
    given = "correct-horse-battery-staple-" + "x" * 10
    stored = store_bootstrap_key(given, now=NOW)
    assert stored.prefix == digest_of(given).hex()[:8]
    with capture_logs() as lines:
        assert Client(headers={"X-API-Key": given}).get("/api/domains/").status_code == 200
    assert stored.prefix in str(lines)
    assert given[:8] not in str(lines)
    made = new_key()
    assert store_bootstrap_key(made, now=NOW).prefix == made[:8]


def test_a_part_that_was_stored_is_forgotten_at_the_next_start() -> None:
    store_bootstrap_key(KEY, now=NOW)
    ApiKey.objects.update(prefix=KEY[:8])
    store_bootstrap_key(KEY, now=NOW)
    assert ApiKey.objects.get().prefix == digest_of(KEY).hex()[:8]
    assert KEY[:8] not in str([*AuditEntry.objects.values()])


def test_the_name_of_the_environments_key_is_its_own() -> None:
    key = store_bootstrap_key(KEY, now=NOW)
    other, _ = create_key(name="x", scopes=["admin"], expires_at=None, by=OPERATOR, now=NOW)
    changes: list[Callable[[], object]] = [
        lambda: create_key(name=BOOTSTRAP, scopes=["read"], expires_at=None, by=OPERATOR, now=NOW),
        lambda: change_key(other.pk, {"name": BOOTSTRAP}, by=OPERATOR, now=NOW),
        lambda: change_key(key.pk, {"name": "root"}, by=OPERATOR, now=NOW),
    ]
    for refused in changes:
        with pytest.raises(FieldsRefused) as caught:
            refused()
        ((pointer, words),) = caught.value.errors
        assert pointer == "#/name"
        assert "choose another name" in words
    change_key(key.pk, {"name": BOOTSTRAP, "expires_at": None}, by=OPERATOR, now=NOW)
    store_bootstrap_key(new_key(), now=NOW)
    assert find_key(KEY, now=NOW) is None


@pytest.mark.parametrize(
    ("ends", "others_end", "may"),
    [
        (None, None, True),
        (None, timedelta(days=3650), False),
        (timedelta(days=9), None, True),
        (timedelta(days=9), timedelta(days=9), True),
        (timedelta(days=9), timedelta(days=8), False),
    ],
)
def test_an_admin_key_ends_where_another_lasts_as_long(
    ends: timedelta | None, others_end: timedelta | None, may: bool
) -> None:
    key, other = (
        create_key(
            name=name,
            scopes=["admin"],
            expires_at=None if end is None else NOW + end,
            by=OPERATOR,
            now=NOW,
        )[0]
        for name, end in (("key", ends), ("other", others_end))
    )
    assert other.pk != key.pk
    soon = NOW + timedelta(hours=1)
    ends_of: list[Callable[[], object]] = [
        lambda: change_key(key.pk, {"scopes": ["write"]}, by=OPERATOR, now=NOW),
        lambda: change_key(key.pk, {"expires_at": soon}, by=OPERATOR, now=NOW),
        lambda: revoke_key(key.pk, by=OPERATOR, now=NOW),
    ]
    for how in ends_of:
        with transaction.atomic():
            if may:
                how()
            else:
                with pytest.raises(LastAdminKey, match="no other admin key lasts as long"):
                    how()
            transaction.set_rollback(True)


def test_a_last_use_that_cannot_be_noted_fails_nothing() -> None:
    store_bootstrap_key(KEY, now=NOW)
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    with capture_logs() as lines:
        assert find_key(KEY, now=NOW) is not None
    assert [line["event"] for line in lines] == ["a key's last use was not noted"]
    assert KEY not in str(lines)
    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.django_db(transaction=True)
def test_a_request_does_not_wait_for_who_has_the_row_of_its_key() -> None:
    store_bootstrap_key(KEY, now=NOW)

    def look() -> ApiKey | None:
        try:
            return find_key(KEY, now=NOW)
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as threads:
        ApiKey.objects.select_for_update().get()
        assert threads.submit(look).result(20) is not None
    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["revoked", "demoted", "made to expire"])
def test_of_two_admin_keys_that_end_each_other_one_stays(how: str) -> None:
    ids = [
        create_key(name=name, scopes=["admin"], expires_at=None, by=OPERATOR, now=NOW)[0].pk
        for name in ("a", "b")
    ]

    def end(key_id: int) -> str:
        try:
            if how == "revoked":
                revoke_key(key_id, by=OPERATOR, now=NOW)
            elif how == "demoted":
                change_key(key_id, {"scopes": ["write"]}, by=OPERATOR, now=NOW)
            else:
                soon = NOW + timedelta(minutes=1)
                change_key(key_id, {"expires_at": soon}, by=OPERATOR, now=NOW)
        except LastAdminKey:
            return "stayed"
        else:
            return "ended"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        with transaction.atomic():
            alone()
            ends = [threads.submit(end, key_id) for key_id in ids]
            until(lambda: waiting_for_locks() == 2, "both wait for those who change keys")
        assert sorted(done.result(20) for done in ends) == ["ended", "stayed"]
    assert admin_keys(until=NOW + timedelta(hours=1)).count() == 1
