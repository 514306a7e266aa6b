"""What several kinds of tests share."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import create_domain
from monitoring import partitions

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
KEY = "test-key-0123456789-0123456789-0123456789"

MakeDomain = Callable[..., Domain]


def pytest_configure() -> None:
    """Hash passwords quickly: half a second for each user would be a minute of the suite."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Let the tests' database be emptied between two tests, which the audit's table refuses."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE domains_auditentry DISABLE TRIGGER domains_auditentry_stays")


@pytest.fixture
def now() -> datetime:
    """An instant on a tick; the tests' presence."""
    return NOW


@pytest.fixture(autouse=True)
def _forget_partitions() -> Iterator[None]:
    """Forget what this process knows of partitions: a test's are rolled back under it."""
    partitions.forget()
    yield
    partitions.forget()


@pytest.fixture
def make_domain(db: None) -> MakeDomain:
    """Return a function that registers a domain, at NOW unless told otherwise."""
    made = 0

    def make(**fields: Any) -> Domain:
        nonlocal made
        made += 1
        since = fields.pop("since", NOW)
        defaults = {"name": f"domain {made}", "url": f"http://127.0.0.1:1/{made}"}
        return create_domain({**defaults, **fields}, by=OPERATOR, now=since)

    return make


@pytest.fixture
def client(db: None) -> Client:
    """Return a client of the API that carries a valid key."""
    from sentinel.access.keys import digest_of
    from sentinel.access.models import ApiKey

    # Not by the way of a start, which the audit would have an entry of.
    ApiKey.objects.create(
        name="bootstrap", prefix=KEY[:8], digest=digest_of(KEY), scopes=["admin"], created_at=NOW
    )
    return Client(headers={"Authorization": f"Bearer {KEY}"}, raise_request_exception=False)
