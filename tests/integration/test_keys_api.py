"""Keys by the API: made, changed, rotated, revoked, and each of it written down."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from domains.audit import AuditEntry
from domains.clock import database_now
from sentinel.access.keys import digest_of, find_key
from sentinel.access.models import ApiKey
from tests.conftest import KEY

pytestmark = pytest.mark.django_db

KEYS = "/api/keys/"


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json")


def patch(client: Client, path: str, body: Any) -> Any:
    return client.patch(path, json.dumps(body), content_type="application/json")


def made(client: Client, name: str, *scopes: str, **fields: Any) -> dict[str, Any]:
    answer = post(client, KEYS, {"name": name, "scopes": scopes or ["read"], **fields})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def status(key: str) -> int:
    return Client(headers={"X-API-Key": key}).get("/api/domains/").status_code


def entries() -> list[tuple[str, Any, Any]]:
    return [(e.action, e.before, e.after) for e in AuditEntry.objects.order_by("pk")]


def after(**span: float) -> str:
    return (database_now() + timedelta(**span)).isoformat()


def refused(answer: Any, code: int) -> str:
    assert answer.status_code == code, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    return str(body["errors"][0]["detail"] if code == 422 else body["detail"])


def test_a_key_is_shown_once_and_opens_the_api(client: Client) -> None:
    answer = post(client, KEYS, {"name": "deploy", "scopes": ["write", "read"]})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    key = body.pop("key")
    assert answer["Location"] == f"{KEYS}{body['id']}"
    assert client.get(answer["Location"]).json() == body
    assert (body["scopes"], body["state"]) == (["read", "write"], "live")
    assert key.startswith(body["prefix"])
    assert len(key.partition(".")[2]) >= 43
    assert status(key) == 200
    assert client.get(KEYS).json()["items"][-1]["id"] == body["id"]
    assert key not in client.get(KEYS).content.decode()


def test_a_name_alone_makes_a_key_that_reads(client: Client) -> None:
    assert post(client, KEYS, {"name": "x"}).json()["scopes"] == ["read"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "at least 1"),
        ("name", "x" * 101, "at most 100"),
        ("name", "a\x00b", "control character"),
        ("name", None, "valid string"),
        ("scopes", [], "at least 1"),
        ("scopes", ["root"], "'read', 'write' or 'admin'"),
        ("scopes", ["read", "read"], "twice"),
        ("scopes", "read", "valid list"),
        ("scopes", None, "valid list"),
        ("expires_at", "2020-01-01T00:00:00Z", "in the future"),
        ("expires_at", "0001-01-01T00:00:00+14:00", "in the future"),
        ("expires_at", "9999-12-31T23:59:59-14:00", "before the year 2200"),
        ("expires_at", "2099-01-01T00:00:00", "timezone"),
        ("expires_at", "soon", "valid datetime"),
        ("expires_at", 4_000_000_000, "it is a number"),
        ("expires_at", 4_000_000_000_000.0, "it is a number"),
        ("expires_at", "4000000000", "it is a number"),
        ("expires_at", True, "it is a number"),
        ("digest", "00", "no such field"),
    ],
)
def test_a_bad_field_is_named_with_its_cure(
    client: Client, field: str, value: Any, words: str
) -> None:
    key = made(client, "before")
    for answer in (
        post(client, KEYS, {"name": "x", field: value}),
        patch(client, f"{KEYS}{key['id']}", {field: value}),
    ):
        assert words in refused(answer, 422)
        assert answer.json()["errors"][0]["pointer"].startswith(f"#/{field}")
    assert ApiKey.objects.count() == 2


def test_what_is_changed_holds_at_once(client: Client) -> None:
    key = made(client, "x", "write")
    path = f"{KEYS}{key['id']}"
    caller = Client(headers={"X-API-Key": key["key"]})
    assert post(caller, "/api/domains/", {}).status_code == 422
    changed = patch(client, path, {"name": "y", "scopes": ["read"], "expires_at": after(hours=1)})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["scopes"]) == ("y", ["read"])
    assert "the scope write" in refused(post(caller, "/api/domains/", {}), 403)
    assert patch(client, path, {"expires_at": None}).json()["expires_at"] is None
    assert patch(client, path, {}).json()["name"] == "y"


def test_a_revoked_key_stays_in_the_list_and_stays_revoked(client: Client) -> None:
    key = made(client, "x")
    path = f"{KEYS}{key['id']}"
    assert client.delete(path).status_code == 204
    first = client.get(path).json()
    assert (first["state"], status(key["key"])) == ("revoked", 401)
    assert client.delete(path).status_code == 204
    assert client.get(path).json() == first
    assert "for good" in refused(patch(client, path, {"name": "y"}), 409)
    assert "was revoked" in refused(post(client, f"{path}/rotate", {}), 409)
    assert made(client, "x")["id"] != key["id"]


def test_a_rotated_key_lives_on_for_the_overlap(client: Client) -> None:
    old = made(client, "x", "write", expires_at=after(days=90))
    path = f"{KEYS}{old['id']}"
    answer = post(client, f"{path}/rotate", {"overlap": 3600})
    assert answer.status_code == 201
    new = answer.json()
    assert answer["Location"] == f"{KEYS}{new['id']}"
    assert answer["Cache-Control"] == "no-store"
    assert (new["name"], new["scopes"], new["replaces"]) == ("x", ["write"], old["id"])
    assert new["key"] != old["key"]
    lifetime = datetime.fromisoformat(new["expires_at"]) - database_now()
    assert timedelta(days=89, hours=23) < lifetime <= timedelta(days=90)
    assert (status(old["key"]), status(new["key"])) == (200, 200)
    now = database_now()
    assert find_key(old["key"], now=now + timedelta(minutes=59)) is not None
    assert find_key(old["key"], now=now + timedelta(minutes=61)) is None
    assert "was rotated before" in refused(post(client, f"{path}/rotate", {}), 409)
    assert "not later" in refused(patch(client, path, {"expires_at": None}), 422)
    assert "not later" in refused(patch(client, path, {"expires_at": after(days=9)}), 422)
    assert patch(client, path, {"expires_at": after(seconds=60)}).status_code == 200
    assert post(client, f"{KEYS}{new['id']}/rotate", {"overlap": 0}).status_code == 201
    assert status(new["key"]) == 401


@pytest.mark.parametrize("overlap", [-1, 2_592_001, "60", 1.5, None, True])
def test_an_overlap_that_cannot_be_is_refused(client: Client, overlap: Any) -> None:
    key = made(client, "x")
    answer = post(client, f"{KEYS}{key['id']}/rotate", {"overlap": overlap})
    refused(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "#/overlap"


def test_one_name_one_key(client: Client) -> None:
    first, second = made(client, "x"), made(client, "y")
    for answer in (
        post(client, KEYS, {"name": " x "}),
        patch(client, f"{KEYS}{second['id']}", {"name": "x"}),
    ):
        assert f"key {first['id']} has this name" in refused(answer, 409)


def test_the_last_admin_key_stays(client: Client) -> None:
    last = ApiKey.objects.get()
    path = f"{KEYS}{last.pk}"
    made(client, "w", "write")
    short = made(client, "short", "admin", expires_at=after(hours=1))
    gone = made(client, "gone", "admin")
    assert client.delete(f"{KEYS}{gone['id']}").status_code == 204
    assert client.delete(f"{KEYS}{short['id']}").status_code == 204
    for answer in (
        client.delete(path),
        patch(client, path, {"scopes": ["write"]}),
        patch(client, path, {"expires_at": after(days=9)}),
    ):
        assert "no other admin key lasts as long as key" in refused(answer, 409)
    brief = made(client, "brief", "admin", expires_at=after(hours=1))
    # Another that ends is none to rely on, even where this one would end before it.
    for soon in (after(hours=2), after(minutes=30)):
        refused(patch(client, path, {"expires_at": soon}), 409)
    assert refused(client.delete(path), 409)
    assert post(client, f"{path}/rotate", {"overlap": 60}).status_code == 201
    assert client.delete(f"{KEYS}{brief['id']}").status_code == 204
    # One on its way out does not count for the one that took its place, which counts for it.
    new = ApiKey.objects.get(replaces=last)
    refused(client.delete(f"{KEYS}{new.pk}"), 409)
    assert client.delete(path).status_code == 204
    assert client.get(KEYS).status_code == 401


def test_lists_by_state_page_by_page(client: Client) -> None:
    ids = [made(client, f"{number}")["id"] for number in range(6)]
    for key_id in ids[:2]:
        client.delete(f"{KEYS}{key_id}")
    ApiKey.objects.filter(pk__in=ids[1:4]).update(expires_at=database_now())
    ApiKey.objects.filter(pk=ids[4]).update(expires_at=database_now() + timedelta(hours=1))

    def listed(query: str) -> list[int]:
        found, path = [], f"{KEYS}?limit=2&{query}"
        while path:
            page = client.get(path.removeprefix("http://testserver")).json()
            found += page["items"]
            path = page["next"]
        assert query == "" or {f"state={item['state']}" for item in found} == {query}
        return [item["id"] for item in found if item["name"] != "bootstrap"]

    assert listed("") == ids
    assert listed("state=revoked") == ids[:2]
    assert listed("state=expired") == ids[2:4]
    assert listed("state=live") == ids[4:]
    for query in ("state=dead", "cursor=x", "limit=0"):
        assert client.get(f"{KEYS}?{query}").status_code == 422


def test_any_key_may_know_itself(client: Client) -> None:
    key = made(client, "x", "read")
    text = key.pop("key")
    own = Client(headers={"X-API-Key": text}).get(f"{KEYS}self").json()
    assert own.pop("last_used_at") is not None
    key.pop("last_used_at")
    assert own == key
    assert client.post(f"{KEYS}self").status_code == 405


def test_no_such_key_is_404(client: Client) -> None:
    path = f"{KEYS}{2**62}"
    for answer in (
        client.get(path),
        patch(client, path, {"name": "x"}),
        client.delete(path),
        post(client, f"{path}/rotate", {}),
    ):
        assert "there is no key" in refused(answer, 404)
    for wrong in ("0", "x", str(2**63)):
        assert client.get(f"{KEYS}{wrong}").status_code == 422


def test_each_change_is_in_the_audit_without_what_opens_anything(client: Client) -> None:
    key = made(client, "x")
    path = f"{KEYS}{key['id']}"
    patch(client, path, {"scopes": ["write"]})
    patch(client, path, {"scopes": ["write"]})
    new = post(client, f"{path}/rotate", {}).json()
    client.delete(path)
    client.delete(path)
    actions = entries()
    assert [action for action, _, _ in actions] == [
        *("key.created", "key.changed", "key.rotated", "key.created", "key.revoked"),
    ]
    assert actions[1][1:] == ({"scopes": ["read"]}, {"scopes": ["write"]})
    assert set(actions[2][2]) == {"rotated_at", "expires_at"}
    assert actions[3][2]["replaces"] == key["id"]
    assert set(actions[4][2]) == {"revoked_at"}
    by = set(AuditEntry.objects.values_list("actor_kind", "actor_id", "actor_name"))
    assert by == {("key", ApiKey.objects.get(digest=digest_of(KEY)).pk, "bootstrap")}
    stored = str([*AuditEntry.objects.values(), client.get("/api/audit/").json()])
    for text in (key["key"], new["key"]):
        assert text.partition(".")[2] not in stored
        assert digest_of(text).hex() not in stored
        assert repr(digest_of(text)) not in stored


def test_the_keys_themselves_are_nowhere_in_the_database_nor_in_the_log(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    key = made(client, "x", "admin")
    text, secret = key["key"], key["key"].partition(".")[2]
    caller = Client(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)
    for answer in (
        caller.get("/api/nothing"),
        caller.get("/api/domains/x"),
        caller.put("/api/domains/"),
        post(caller, "/api/domains/", {"name": text, "url": f"http://user:{text}@example.org/"}),
        post(caller, KEYS, {"name": "x", "scopes": [text], text: 1}),
        Client(headers={"Authorization": f"Bearer {text}x"}).get("/api/domains/"),
        Client(headers={"Authorization": f"Basic {text}"}).get(f"/api/domains/?key={text}"),
    ):
        assert answer.status_code >= 400
        # The name of a field that is not there is repeated, so that it can be found.
        shown = answer.content.decode().replace(f"#/{text}", "")
        assert secret not in shown
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(k::text, ' ') FROM access_apikey k")
        (rows,) = cursor.fetchone()
        cursor.execute("SELECT string_agg(a::text, ' ') FROM domains_auditentry a")
        (audit,) = cursor.fetchone()
    assert secret not in rows + audit
    assert digest_of(text).hex() in rows
    assert digest_of(text).hex() not in audit
    captured = capfd.readouterr()
    assert secret not in captured.out + captured.err


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"digest": b"short"},
        {"scopes": []},
        {"scopes": ["root"]},
        {"rotated_at": "2026-11-23T12:00:00Z"},
        {"name": "bootstrap"},
        {"digest": digest_of(KEY)},
    ],
)
def test_the_database_refuses_what_no_key_is(client: Client, fields: dict[str, Any]) -> None:
    good = {"name": "x", "prefix": "x", "digest": b"x" * 32, "scopes": ["read"]}
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.create(**{**good, **fields})
    ApiKey.objects.create(**good)
