"""Assertions from the API to a check: as they are registered, so they are judged."""

from typing import Any

import pytest
from django.test import Client

from monitoring import dispatch
from monitoring.claiming import claim
from monitoring.models import Batch
from monitoring.probes.guard import Guard
from tests.conftest import NOW

JSON = "application/json"
ASSERTIONS: list[dict[str, Any]] = [
    {"type": "json", "path": "$.status", "operator": "equals", "value": "ok", "severity": "down"},
    {
        "type": "header",
        "name": "Content-Type",
        "operator": "contains",
        "value": "json",
        "severity": "degraded",
    },
]


def register(client: Client, **fields: Any) -> Any:
    body = {"name": "shop", "url": "https://shop.example/", **fields}
    return client.post("/api/domains/", body, content_type=JSON)


def test_assertions_come_back_as_they_were_sent_and_reach_the_probe(client: Client) -> None:
    answer = register(client, assertions=ASSERTIONS)

    assert answer.status_code == 201
    assert answer.json()["assertions"] == ASSERTIONS
    domain_id = answer.json()["id"]
    assert client.get(f"/api/domains/{domain_id}").json()["assertions"] == ASSERTIONS

    from domains.services import get_domain

    dispatch.request_check(get_domain(domain_id), now=NOW)
    work = claim(Batch.objects.get().pk, now=NOW, lease=NOW - NOW, guard=Guard())
    assert work is not None
    ((target, _),) = work.targets.values()
    assert [each.kind for each in target.assertions] == ["json", "header"]
    assert [each.severity for each in target.assertions] == ["down", "degraded"]


def test_a_change_replaces_them(client: Client) -> None:
    domain_id = register(client, assertions=ASSERTIONS).json()["id"]

    answer = client.patch(
        f"/api/domains/{domain_id}", {"assertions": ASSERTIONS[:1]}, content_type=JSON
    )

    assert answer.json()["assertions"] == ASSERTIONS[:1]


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"operator": "matches", "value": "(a"}, "#/assertions/1/value", "regular expression"),
        ({"severity": "fatal"}, "#/assertions/1/severity", "down"),
        ({"name": "two words"}, "#/assertions/1/name", "name"),
        ({"type": "colour"}, "#/assertions/1/type", "no such type"),
        ({"extra": 1}, "#/assertions/1/extra", ""),
    ],
)
def test_what_is_wrong_with_one_is_pointed_at(
    client: Client, change: dict[str, Any], pointer: str, words: str
) -> None:
    answer = register(client, assertions=[ASSERTIONS[0], {**ASSERTIONS[1], **change}])

    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert words in error["detail"]
