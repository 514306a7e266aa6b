"""What a check sends, as people configure it by the API, and as the worker gets it."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from domains.clock import database_now
from domains.models import Domain
from domains.schemas import READ_ONLY
from monitoring import dispatch
from monitoring.claiming import claim
from monitoring.models import Batch
from monitoring.probes.guard import Guard
from monitoring.probes.outcome import IPVersion, Target
from tests.integration.test_api import DOMAINS, assert_problem, patch, post

MASK = "********"
BASIC = {"type": "basic", "username": "Zoë", "password": "pass:wörd"}
BEARER = {"type": "bearer", "token": "abc-._~+/=="}


def register(client: Client, **fields: Any) -> dict[str, Any]:
    response = post(client, DOMAINS, {"name": "x", "url": "http://example.org/", **fields})
    assert response.status_code == 201, response.content
    body: dict[str, Any] = response.json()
    return body


def change(client: Client, domain: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = patch(client, f"{DOMAINS}{domain['id']}", fields)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    assert body == client.get(f"{DOMAINS}{domain['id']}").json()
    return body


def target(domain: dict[str, Any]) -> Target:
    """Return what a worker's probe is given, by way of a batch."""
    run_id = dispatch.request_check(Domain.objects.get(pk=domain["id"]), now=database_now())
    work = claim(
        Batch.objects.get(run_id=run_id).pk,
        now=database_now(),
        lease=timedelta(seconds=75),
        guard=Guard(),
    )
    assert work is not None
    return work.targets[domain["id"]][0]


def test_a_plain_domain_sends_nothing_of_its_own(client: Client) -> None:
    domain = register(client)
    expected: dict[str, Any] = {
        "headers": {},
        "body": None,
        "auth": None,
        "http2": False,
        "ip_version": "both",
        "degraded_after": None,
        "assertions": [],
    }
    assert {name: domain[name] for name in expected} == expected
    assert target(domain) == Target(url="http://example.org/", guard=target(domain).guard)


def test_what_was_configured_is_what_the_probe_gets(client: Client) -> None:
    domain = register(
        client,
        method="POST",
        headers={"X-Api-Key": "k 1", "accept": "application/json", "X-Empty": ""},
        body="ping=é",
        auth=BASIC,
        http2=True,
        ip_version="ipv6",
        degraded_after=0.25,
        timeout=3,
        follow_redirects=False,
        verify_tls=False,
        expected_status="200,301-302",
    )
    assert domain["headers"] == {"X-Api-Key": MASK, "accept": MASK, "X-Empty": MASK}
    assert list(domain["headers"]) == ["X-Api-Key", "accept", "X-Empty"]
    assert domain["body"] == MASK
    assert domain["auth"] == {**BASIC, "password": MASK}
    assert domain["degraded_after"] == 0.25
    found = target(domain)
    assert found == Target(
        url="http://example.org/",
        method="POST",
        headers=(
            ("X-Api-Key", "k 1"),
            ("accept", "application/json"),
            ("X-Empty", ""),
            ("Authorization", "Basic " + base64.b64encode("Zoë:pass:wörd".encode()).decode()),
            ("Content-Type", "text/plain; charset=utf-8"),
        ),
        body="ping=é".encode(),
        http2=True,
        ip_version=IPVersion.IPV6,
        degraded_after_us=250_000,
        follow_redirects=False,
        verify_tls=False,
        expected_status=((200, 200), (301, 302)),
        guard=found.guard,
    )


@pytest.mark.parametrize(
    ("headers", "body", "sent", "content_type"),
    [
        ({}, {"a": [1, None]}, b'{"a":[1,null]}', ("Content-Type", "application/json")),
        ({}, [], b"[]", ("Content-Type", "application/json")),
        ({}, '{"a": 1}', b'{"a": 1}', ("Content-Type", "text/plain; charset=utf-8")),
        ({"content-type": "text/xml"}, "<a/>", b"<a/>", ("content-type", "text/xml")),
        ({"CONTENT-TYPE": "x/json"}, {"a": 1}, b'{"a":1}', ("CONTENT-TYPE", "x/json")),
    ],
)
def test_a_body_has_its_content_type(
    client: Client, headers: dict[str, str], body: Any, sent: bytes, content_type: tuple[str, str]
) -> None:
    found = target(register(client, method="PUT", headers=headers, body=body))
    assert found.body == sent
    assert found.headers == (content_type,)


def test_a_bearer_token_becomes_a_header(client: Client) -> None:
    domain = register(client, auth=BEARER)
    assert domain["auth"] == {"type": "bearer", "token": MASK}
    assert target(domain).headers == (("Authorization", "Bearer abc-._~+/=="),)


def test_a_domain_that_was_read_can_be_sent_back_and_loses_nothing(client: Client) -> None:
    domain = register(
        client,
        method="POST",
        headers={"X-One": "1", "X-Two": "2"},
        body={"a": 1},
        auth=BASIC,
        degraded_after=1.5,
    )
    before = target(domain)
    configured = {name: value for name, value in domain.items() if name not in READ_ONLY}
    assert change(client, domain, **configured) == domain  # updated_at included
    assert target(domain) == before
    edited = {**configured, "name": "y", "headers": {**configured["headers"], "X-Three": "3"}}
    change(client, domain, **edited)
    after = target(domain)
    assert set(after.headers) - set(before.headers) == {("X-Three", "3")}
    assert set(before.headers) - set(after.headers) == set()
    assert after.body == before.body


def test_a_mask_keeps_one_secret_while_its_neighbour_changes(client: Client) -> None:
    domain = register(client, method="POST", headers={"X-One": "1", "X-Two": "2"}, auth=BASIC)
    changed = change(client, domain, headers={"x-TWO": MASK, "X-One": "new"})
    assert changed["headers"] == {"x-TWO": MASK, "X-One": MASK}
    change(client, domain, auth={**BASIC, "username": "Bo", "password": MASK})
    pair = base64.b64encode("Bo:pass:wörd".encode()).decode()
    assert target(domain).headers == (
        ("x-TWO", "2"),
        ("X-One", "new"),
        ("Authorization", f"Basic {pair}"),
    )


def test_what_is_left_out_stays_and_null_removes(client: Client) -> None:
    domain = register(
        client, method="POST", headers={"X": "1"}, body="b", auth=BEARER, degraded_after=2
    )
    assert change(client, domain, name="y") == {**domain, "name": "y", "version": 2} | {
        "updated_at": client.get(f"{DOMAINS}{domain['id']}").json()["updated_at"]
    }
    changed = change(client, domain, headers={}, body=None, auth=None, degraded_after=None)
    assert [changed[name] for name in ("headers", "body", "auth", "degraded_after")] == [
        {},
        None,
        None,
        None,
    ]
    found = target(domain)
    assert (found.headers, found.body, found.degraded_after_us) == ((), None, None)
    assert change(client, domain, body="")["body"] is None


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"headers": {"X-A/b~": MASK}}, None),
        ({"headers": {"X-One": MASK}}, "#/headers/X-One"),
        ({"method": "POST", "body": MASK}, "#/body"),
        ({"auth": {**BASIC, "password": MASK}}, "#/auth/password"),
        ({"auth": {**BEARER, "token": MASK}}, "#/auth/token"),
    ],
)
def test_a_mask_where_nothing_is_stored_is_refused(
    client: Client, fields: dict[str, Any], pointer: str | None
) -> None:
    body = {"name": "x", "url": "http://example.org/"}
    (error,) = assert_problem(post(client, DOMAINS, body | fields), 422)["errors"]
    assert error["pointer"] == pointer or (pointer is None and error["pointer"] == "#/headers")
    domain = register(client, headers={"X-Two": "2"})
    response = patch(client, f"{DOMAINS}{domain['id']}", fields)
    assert assert_problem(response, 422)["errors"] == [error]
    if pointer is not None:
        assert "send the value itself" in error["detail"]
    assert client.get(f"{DOMAINS}{domain['id']}").json() == domain


def test_a_mask_is_of_its_own_kind_of_credentials(client: Client) -> None:
    domain = register(client, auth=BASIC)
    response = patch(client, f"{DOMAINS}{domain['id']}", {"auth": {**BEARER, "token": MASK}})
    (error,) = assert_problem(response, 422)["errors"]
    assert error["pointer"] == "#/auth/token"


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"headers": {"Content-Length": "5"}}, "#/headers/Content-Length", "leave it out"),
        ({"headers": {"X~1": "é"}}, "#/headers/X~01", "visible ASCII"),
        ({"headers": {"X-A": 5}}, "#/headers/X-A", "valid string"),
        ({"headers": {"X-A": None}}, "#/headers/X-A", "valid string"),
        ({"headers": {"a b": "c"}}, "#/headers", "name 1"),
        ({"headers": None}, "#/headers", "an object of header names and values"),
        ({"headers": [["a", "b"]]}, "#/headers", "an object of header names and values"),
        ({"body": 5}, "#/body", "a text, a JSON object or array, or null"),
        ({"body": "x" * 65_537, "method": "POST"}, "#/body", "64 KiB"),
        ({"auth": {}}, "#/auth", "type"),
        ({"auth": "x"}, "#/auth", "a JSON object"),
        ({"auth": {"type": "digest"}}, "#/auth", "no such type"),
        ({"auth": {"type": "basic", "username": "a"}}, "#/auth/password", "required"),
        ({"auth": {**BASIC, "username": "a:b"}}, "#/auth/username", "colon"),
        ({"auth": {**BASIC, "password": "a\n"}}, "#/auth/password", "control character"),
        ({"auth": {**BASIC, "password": 5}}, "#/auth/password", "valid string"),
        ({"auth": {**BASIC, "token": "a"}}, "#/auth/token", "no such field"),
        ({"auth": {**BEARER, "token": "Bearer x"}}, "#/auth/token", "without the word Bearer"),
        ({"http2": "yes"}, "#/http2", "valid boolean"),
        ({"http2": None}, "#/http2", "valid boolean"),
        ({"ip_version": "ipv5"}, "#/ip_version", "'ipv4'"),
        ({"ip_version": None}, "#/ip_version", "'ipv4'"),
        ({"degraded_after": 0}, "#/degraded_after", "greater than or equal to 0.001"),
        ({"degraded_after": 0.0009}, "#/degraded_after", "greater than or equal to 0.001"),
        ({"degraded_after": "1"}, "#/degraded_after", "valid number"),
        ({"degraded_after": True}, "#/degraded_after", "number of seconds"),
        ({"degraded_after": 60}, "#/degraded_after", "less than 60"),
        ({"assertions": None}, "#/assertions", "valid list"),
    ],
)
def test_a_bad_field_is_named_with_its_cure(
    client: Client, fields: dict[str, Any], pointer: str, words: str
) -> None:
    body = {"name": "x", "url": "http://example.org/"}
    (error,) = assert_problem(post(client, DOMAINS, body | fields), 422)["errors"]
    assert error["pointer"] == pointer
    assert words in error["detail"]
    domain = register(client)
    response = patch(client, f"{DOMAINS}{domain['id']}", fields)
    assert assert_problem(response, 422)["errors"] == [error]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_numbers_that_json_has_not_are_refused(client: Client, number: str) -> None:
    for field in ("degraded_after", "body"):
        value = number if field == "degraded_after" else f"[{number}]"
        body = f'{{"name": "x", "url": "http://e.org/", "method": "POST", "{field}": {value}}}'
        response = client.post(DOMAINS, body, content_type="application/json")
        (error,) = assert_problem(response, 422)["errors"]
        assert error["pointer"] == f"#/{field}"


CONTRADICTIONS = [
    ({"method": "POST"}, {"body": "b"}, {"method": "GET"}, "body", "method"),
    ({"method": "POST"}, {"body": "b"}, {"method": "HEAD"}, "body", "method"),
    ({}, {"auth": BEARER}, {"headers": {"authorization": "x"}}, "auth", "headers"),
    ({}, {"degraded_after": 5}, {"timeout": 5}, "degraded_after", "timeout"),
    ({}, {"ip_version": "ipv6"}, {"url": "http://192.0.2.1/"}, "ip_version", "url"),
    ({}, {"ip_version": "ipv4"}, {"url": "http://[2001:db8::1]/"}, "ip_version", "url"),
]


@pytest.mark.parametrize(("base", "one", "other", "first", "second"), CONTRADICTIONS)
def test_fields_that_contradict_each_other_are_refused_together_and_one_after_the_other(
    client: Client,
    base: dict[str, Any],
    one: dict[str, Any],
    other: dict[str, Any],
    first: str,
    second: str,
) -> None:
    body = {"name": "x", "url": "http://example.org/", **base}
    (error,) = assert_problem(post(client, DOMAINS, body | one | other), 422)["errors"]
    assert error["pointer"] == f"#/{first}"
    assert ": " in error["detail"]  # a cure
    assert not Domain.objects.exists()
    for stored, sent, pointer in ((one, other, second), (other, one, first)):
        fields = base | stored
        if stored is other and "method" in other:
            fields = other
        domain = register(client, **fields)
        response = patch(client, f"{DOMAINS}{domain['id']}", sent)
        (found,) = assert_problem(response, 422)["errors"]
        assert found == {"pointer": f"#/{pointer}", "detail": error["detail"]}
        assert client.get(f"{DOMAINS}{domain['id']}").json() == domain


def test_a_contradiction_leaves_the_schedule_as_it_was(client: Client) -> None:
    domain = register(client, degraded_after=5)
    before = Domain.objects.get().scheduled_since
    response = patch(client, f"{DOMAINS}{domain['id']}", {"interval": 300, "timeout": 2})
    assert_problem(response, 422)
    stored = Domain.objects.get()
    assert (stored.interval, stored.scheduled_since) == (60, before)


def test_every_contradiction_is_named_at_once(client: Client) -> None:
    body = {
        "name": "x",
        "url": "http://192.0.2.1/",
        "body": "b",
        "ip_version": "ipv6",
        "degraded_after": 10,
    }
    errors = assert_problem(post(client, DOMAINS, body), 422)["errors"]
    assert [error["pointer"] for error in errors] == ["#/body", "#/degraded_after", "#/ip_version"]


@pytest.mark.parametrize(
    "columns",
    [
        {"ip_version": "ipv5"},
        {"sealed_body": "x"},
        {"body_is_json": True},
        {"auth_type": "basic"},
        {"auth_type": "digest", "auth_username": "a", "sealed_credential": "x"},
        {"auth_type": "bearer", "auth_username": "a", "sealed_credential": "x"},
        {"auth_type": "bearer"},
        {"sealed_credential": "x"},
        {"degraded_after_us": 999},
        {"degraded_after_us": 10_000_000},
    ],
)
def test_the_database_holds_the_rules_too(client: Client, columns: dict[str, Any]) -> None:
    domain = register(client)
    with pytest.raises(IntegrityError), transaction.atomic():
        Domain.objects.filter(pk=domain["id"]).update(**columns)


def test_every_new_field_is_described_with_an_example(client: Client) -> None:
    schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    for name in ("DomainIn", "DomainPatch"):
        for field in ("headers", "body", "auth", "http2", "ip_version", "degraded_after"):
            described = schemas[name]["properties"][field]
            assert described["description"], (name, field)
            assert described["examples"], (name, field)
    assert MASK in schemas["DomainIn"]["properties"]["headers"]["description"]


SECRET_FIELDS: dict[str, Any] = {
    "headers": {"X-Key": "sesame"},
    "method": "POST",
    "body": "open",
    "auth": {"type": "bearer", "token": "sesame"},
}


@pytest.mark.parametrize(
    "url", ["http://other.example/", "https://example.org/", "http://example.org:8080/"]
)
@pytest.mark.parametrize(
    "resent", [{}, {"headers": {"X-Key": MASK}}, {"body": "open", "auth": None}]
)
def test_stored_secrets_do_not_follow_the_url_to_another_origin(
    client: Client, url: str, resent: dict[str, Any]
) -> None:
    domain = register(client, **SECRET_FIELDS)

    response = patch(client, f"{DOMAINS}{domain['id']}", {"url": url, **resent})

    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "#/url"
    assert client.get(f"{DOMAINS}{domain['id']}").json() == domain


def test_the_url_may_change_with_the_secrets_sent_anew_or_within_the_origin(
    client: Client,
) -> None:
    domain = register(client, **SECRET_FIELDS)
    assert change(client, domain, url="http://example.org/other")["url"].endswith("/other")

    moved = {**SECRET_FIELDS, "url": "http://other.example/"}
    assert change(client, domain, **moved)["url"] == "http://other.example/"
    bare: dict[str, Any] = {
        "url": "http://third.example/",
        "headers": {},
        "body": None,
        "auth": None,
    }
    assert change(client, domain, **bare)["headers"] == {}
