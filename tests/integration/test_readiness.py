"""Health as load balancers and containers ask for it: without a key, by any name."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from sentinel import health


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know nothing of the database, as a process that has just begun."""
    monkeypatch.setattr(health, "schema", health.Schema())


@pytest.fixture
def undo(db: None) -> Callable[[str], None]:
    """Return what makes a database older than the code."""

    def forget(where: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM django_migrations WHERE {where}")

    return forget


def test_health_needs_no_key_and_says_little() -> None:
    assert Client().get("/livez").content == b"live\n"


def test_readiness_needs_no_key(db: None) -> None:
    assert Client().get("/readyz").content == b"ready\n"


def test_a_database_that_is_older_than_the_code_is_not_ready(undo: Callable[[str], None]) -> None:
    undo("app = 'monitoring' AND name LIKE '0009%'")
    with capture_logs() as lines:
        response = Client().get("/readyz")
    assert response.status_code == 503
    assert "0009" not in response.text  # anybody may ask
    (line,) = (line for line in lines if line["log_level"] == "warning")
    assert line["missing"] == ["monitoring.0009_not_up"]
    assert "sentinel init" in line["event"]


def test_a_database_without_tables_is_not_ready(undo: Callable[[str], None]) -> None:
    undo("true")
    assert Client().get("/readyz").status_code == 503


def test_it_becomes_ready_once_and_is_asked_little_from_then_on(
    undo: Callable[[str], None],
) -> None:
    undo("app = 'monitoring' AND name = '0009_not_up'")
    assert Client().get("/readyz").status_code == 503
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('monitoring', '0009_not_up', now())"
        )
    assert Client().get("/readyz").status_code == 200
    with CaptureQueriesContext(connection) as captured:
        assert Client().get("/readyz").status_code == 200
    assert [query["sql"] for query in captured] == ["SELECT 1"]


@override_settings(ALLOWED_HOSTS=["sentinel.example.org"])
def test_health_is_told_by_any_name_and_the_rest_by_the_allowed_ones(db: None) -> None:
    for host in ("127.0.0.1:8000", "10.1.2.3", "sentinel.example.org"):
        for path in health.PATHS:
            assert Client().get(path, headers={"Host": host}).status_code == 200
    for path in ("/", "/api/docs", "/api/domains/", "/metrics", "/readyz/"):
        assert Client().get(path, headers={"Host": "127.0.0.1:8000"}).status_code == 400
