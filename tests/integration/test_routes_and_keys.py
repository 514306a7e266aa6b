"""Every route there is against every kind of key: who comes in, and who does not.

The routes are read from the API's own document, so that none can be forgotten; what is
expected follows from a route's method and path by one rule, written here a second time.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from domains.clock import database_now
from sentinel.access.keys import digest_of
from sentinel.access.models import ApiKey
from sentinel.api import api
from sentinel.key_files import new_key

pytestmark = pytest.mark.django_db

SCHEMA = api.get_openapi_schema()
OPEN = ("/api/problems/",)
"""The pages that errors link to are open to everybody."""

RANK = ("read", "write", "admin")
IN, NO_KEY = "in", "no key"


def operations() -> list[tuple[str, str]]:
    """Return the method and path of every operation that is not open by intention."""
    return [
        (method.upper(), path)
        for path, methods in SCHEMA["paths"].items()
        for method in methods
        if method in ("get", "put", "post", "patch", "delete") and not path.startswith(OPEN)
    ]


def needed(method: str, path: str) -> str:
    """Return the scope that an operation needs: the rule."""
    if path == "/api/keys/self":
        return "read"
    if path.startswith(("/api/keys/", "/api/audit/")):
        return "admin"
    return "read" if method == "GET" else "write"


def address(method: str, path: str) -> str:
    """Return a path whose parameters are of the right kind, and name nothing that is there."""
    parameters = SCHEMA["paths"][path][method.lower()].get("parameters", [])
    for parameter in parameters:
        if parameter.get("in") == "path":  # a header that many share is a reference
            schema = parameter["schema"]
            value = str(uuid.UUID(int=7)) if schema.get("format") == "uuid" else "999999999"
            path = path.replace(f"{{{parameter['name']}}}", value)
    assert "{" not in path
    return path


def ask(method: str, path: str, headers: Mapping[str, str], query: str = "") -> Any:
    client = Client(headers=headers, raise_request_exception=False)
    body = b"" if method in ("GET", "DELETE") else b"{}"
    return client.generic(
        method, address(method, path) + query, body, content_type="application/json"
    )


def judged(answer: Any) -> str:
    """Return what an answer says of the key: in, no key, or the scope that it lacks."""
    assert answer.status_code < 500, answer.content
    if answer.status_code not in (401, 403):
        return IN
    assert answer["Content-Type"] == "application/problem+json"
    challenge = answer["WWW-Authenticate"]
    if answer.status_code == 401:
        assert challenge == "Bearer"
        return NO_KEY
    found = re.fullmatch(r'Bearer error="insufficient_scope", scope="([a-z]+)"', challenge)
    assert found is not None
    assert f"the scope {found[1]}" in answer.content.decode()
    return found[1]


def key(*scopes: str, **fields: Any) -> str:
    text = new_key()
    name = f"{'-'.join(scopes)} {len(fields)} {text[:8]}"
    ApiKey.objects.create(
        name=name, prefix=text[:8], digest=digest_of(text), scopes=[*scopes], **fields
    )
    return text


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_route_takes_the_keys_of_its_scope_and_no_other(method: str, path: str) -> None:
    now = database_now()
    least = RANK.index(needed(method, path))
    expected = [
        *((key(scope), IN if rank >= least else RANK[least]) for rank, scope in enumerate(RANK)),
        (key("read", "admin"), IN),
        (key("admin", expires_at=now + timedelta(hours=1)), IN),
        (key("admin", expires_at=now), NO_KEY),
        (key("admin", revoked_at=now), NO_KEY),
        (key("admin", rotated_at=now, expires_at=now + timedelta(hours=1)), IN),
        (new_key(), NO_KEY),
    ]
    for text, verdict in expected:
        assert judged(ask(method, path, {"Authorization": f"Bearer {text}"})) == verdict
        assert judged(ask(method, path, {"X-API-Key": text})) == verdict


@pytest.mark.parametrize(("method", "path"), operations())
def test_a_key_in_no_form_that_is_one_is_none(method: str, path: str) -> None:
    good, other = key("admin"), key("admin")
    digest = digest_of(good).hex()
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": good},
        {"Authorization": f"Basic {good}"},
        {"Authorization": f"Bearer  {good}"},
        {"Authorization": f"Bearer {good} {good}"},
        {"Authorization": f"Bearer {good}\x00"},
        {"Authorization": f"Bearer {good}é"},
        {"Authorization": f"Bearer {good.upper()}"},
        {"Authorization": f"Bearer {good[:-1]}"},
        {"Authorization": f"Bearer {digest}"},
        {"X-API-Key": ""},
        {"X-API-Key": f"Bearer {good}"},
        {"X-API-Key": f"{good},{good}"},
        {"X-API-Key": "\x00\xff"},
        {"X-API-Key": "a" * 10_000},
        {"Cookie": f"X-API-Key={good}; sessionid={good}"},
        {"Authorization": f"Bearer {good}", "X-API-Key": other},
        {"Authorization": f"Bearer {new_key()}", "X-API-Key": good},
    ):
        answer = ask(method, path, headers)
        assert judged(answer) == NO_KEY, headers
        assert good not in answer.content.decode()
    for name in ("key", "api_key", "X-API-Key", "access_token", "token"):
        assert judged(ask(method, path, {}, f"?{name}={good}")) == NO_KEY
    assert not ApiKey.objects.exclude(last_used_at=None).filter(digest=digest_of(other)).exists()


def test_the_same_key_twice_is_one_and_a_password_of_a_proxy_is_none_of_ours() -> None:
    good = key("read")
    for headers in (
        {"Authorization": f"Bearer {good}", "X-API-Key": good},
        {"Authorization": "Basic c29tZTpib2R5", "X-API-Key": good},
        {"Authorization": f"bearer {good}"},
    ):
        assert judged(ask("GET", "/api/domains/", headers)) == IN


def test_the_two_forms_are_in_the_document_of_every_operation() -> None:
    schemes = SCHEMA["components"]["securitySchemes"]
    assert {(scheme["type"], scheme.get("scheme")) for scheme in schemes.values()} >= {
        ("http", "bearer"),
        ("apiKey", None),
    }
    for method, path in operations():
        operation = SCHEMA["paths"][path][method.lower()]
        assert {"BearerKey": []} in operation["security"]
        assert {"HeaderKey": []} in operation["security"]
        assert {401, 403} <= {int(status) for status in operation["responses"]}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_metrics_take_any_key_that_is_live(method: str) -> None:
    def status(headers: Mapping[str, str]) -> int:
        return Client(headers=headers).generic(method, "/metrics").status_code

    assert {status({"X-API-Key": key(scope)}) for scope in RANK} == {200}
    assert status({}) == 401
    assert status({"X-API-Key": key("admin", revoked_at=database_now())}) == 401
    assert status({"X-API-Key": key("read"), "Authorization": f"Bearer {key('read')}"}) == 401


def test_every_operation_is_asked() -> None:
    assert len(operations()) >= 18
    assert ("POST", "/api/keys/") in operations()
