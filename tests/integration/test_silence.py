"""Keys, headers and bodies stay out of the log, also where something breaks over them."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest
from django.test import Client

from domains import listing, services
from sentinel import urls
from sentinel.logs import logging_config
from tests.conftest import KEY, MakeDomain
from tests.integration.test_api import DOMAINS
from tests.integration.test_secrets import forms

CANARY = "canary-31f0aa77c2"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, as the handler of the processes writes it."""
    config = logging_config()
    handler = logging.StreamHandler(output := io.StringIO())
    formatter = dict(config["formatters"]["line"])
    handler.setFormatter(formatter.pop("()")(**formatter))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield output
    finally:
        root.removeHandler(handler)


def assert_silent(logged: io.StringIO, *words: str) -> None:
    text = logged.getvalue()
    for word in words:
        assert word in text
    for canary in (CANARY, KEY):
        assert [form for form, needle in forms(canary).items() if needle in text] == []


def sql(statement: str, *values: Any) -> Callable[..., Any]:
    def run(*_: Any, **__: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)

    return run


DEFECTS: list[tuple[Callable[..., Any], str]] = [
    (sql("INSERT INTO domains_domain (name, url) VALUES (%s, %s)", CANARY, CANARY), "23502"),
    (sql("INSERT INTO access_apikey (name) VALUES (%s)", CANARY), "23502"),
    (sql("SELECT %s::int", CANARY), "22P02"),
    (sql("SELECT %s::timestamptz", CANARY), "22007"),
    (sql("SELECT 1 FROM unnest(%s::text[])", "{" + CANARY), "22P02"),
    (lambda *_, **__: int(CANARY), "ValueError"),
    (lambda *_, **__: dict[str, int]()[CANARY], "KeyError"),
    (lambda *_, **__: json.loads(CANARY), "JSONDecodeError"),
]


@pytest.mark.parametrize(("defect", "word"), DEFECTS)
@pytest.mark.parametrize("idempotent", [False, True])
def test_a_defect_is_told_without_what_it_was_about(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    logged: io.StringIO,
    defect: Callable[..., Any],
    word: str,
    idempotent: bool,
) -> None:
    monkeypatch.setattr(services, "create_domain", defect)
    response: Any = client.post(
        f"{DOMAINS}",
        json.dumps({"name": CANARY, "url": f"https://example.org/{CANARY}", "body": CANARY}),
        content_type="application/json",
        headers={"X-Token": CANARY, **({"Idempotency-Key": CANARY} if idempotent else {})},
    )
    assert response.status_code == 500
    assert CANARY not in response.content.decode()
    assert_silent(logged, "unhandled error", word)


def test_a_row_that_violates_a_constraint_is_not_told(
    client: Client,
    make_domain: MakeDomain,
    monkeypatch: pytest.MonkeyPatch,
    logged: io.StringIO,
) -> None:
    make_domain(name=CANARY)
    monkeypatch.setattr(listing, "page_of_domains", sql("UPDATE domains_domain SET timeout = -1"))
    assert client.get(DOMAINS).status_code == 500
    assert_silent(logged, "SQLSTATE 23514", "check constraint")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {CANARY}"},
        {"Authorization": f"Basic {CANARY}"},
        {"X-API-Key": CANARY},
        {"X-API-Key": CANARY, "Cookie": f"sessionid={CANARY}"},
        {"X-Request-Id": f"{CANARY} no id"},
        {"Host": f"{CANARY} no host"},
        {"Host": f"{CANARY}/"},
        {"Content-Type": f"{CANARY}/x"},
        {"Idempotency-Key": f"{CANARY} no key"},
    ],
)
def test_what_is_refused_is_not_told(
    client: Client, headers: dict[str, str], logged: io.StringIO
) -> None:
    for path in (DOMAINS, "/metrics", "/api/docs", "/nothing"):
        for each in (client, Client(raise_request_exception=False)):
            each.get(f"{path}?q={CANARY}", headers=headers)
            each.post(path, json.dumps({CANARY: CANARY}), "application/json", headers=headers)
            each.post(path, "{" + CANARY, content_type="application/json", headers=headers)
    assert_silent(logged, "status=")


def test_a_defect_outside_the_api_is_logged_once_and_without_values(
    client: Client, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    def broken(_: HttpRequest) -> None:
        int(CANARY)

    monkeypatch.setattr(urls.urlpatterns[2], "callback", broken)
    response = client.get("/readyz", headers={"X-Request-Id": "outside"})
    assert response.status_code == 500
    assert response.json()["request_id"] == "outside"
    assert logged.getvalue().count("unhandled error") == 1
    assert_silent(logged, "builtins.ValueError", "in broken")


def test_a_database_that_is_away_is_told_without_what_was_asked(
    client: Client, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setattr(
        listing,
        "page_of_domains",
        sql("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1), %s", CANARY),
    )
    assert client.get(DOMAINS).status_code == 503
    assert_silent(logged, "database is away", "SQLSTATE 57014")
