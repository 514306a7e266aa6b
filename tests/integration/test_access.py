"""API keys: hashed, expiring, revocable."""

from datetime import timedelta

import pytest
from django.test import Client

from domains.clock import database_now
from sentinel.access.bootstrap import BOOTSTRAP, store_bootstrap_key
from sentinel.access.keys import digest_of, find_key
from sentinel.access.models import ApiKey
from sentinel.key_files import new_key
from tests.conftest import KEY, NOW

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
