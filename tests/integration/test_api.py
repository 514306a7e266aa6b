"""The API on real PostgreSQL, as an integrator meets it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.dateparse import parse_datetime

from domains.models import Domain
from domains.paging import encode_cursor
from monitoring import dispatch
from monitoring.ledger import Row
from monitoring.models import Batch, Location
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome, Phases
from monitoring.probes.states import Reason, State
from monitoring.recording import record
from tests.conftest import NOW, MakeDomain

DOMAINS = "/api/domains/"


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json")


def patch(client: Client, path: str, body: Any) -> Any:
    return client.patch(path, json.dumps(body), content_type="application/json")


def store(domain: Domain, count: int, outcome: Outcome | None = None) -> None:
    location, _ = Location.objects.get_or_create(name="local")
    record(
        [
            Row(
                domain_id=domain.pk,
                location_id=location.pk,
                slot=NOW + timedelta(minutes=n),
                kind=Kind.SCHEDULED,
                started_at=NOW + timedelta(minutes=n, microseconds=123_456),
                outcome=outcome
                or Outcome(state=State.UP, total_us=1000 * (n + 1), status_code=200),
            )
            for n in range(count)
        ]
    )


def assert_problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "instance"} <= body.keys()
    return body


def test_name_and_url_are_enough(client: Client) -> None:
    response = post(client, DOMAINS, {"name": " Example ", "url": "HTTP://EXAMPLE.org"})
    assert response.status_code == 201
    body = response.json()
    assert response["Location"] == f"/api/domains/{body['id']}"
    assert client.get(response["Location"]).json() == body
    assert (body["name"], body["url"]) == ("Example", "http://example.org/")
    expected = {
        "method": "GET",
        "interval": 60,
        "timeout": 10,
        "expected_status": "200-299",
        "follow_redirects": True,
        "verify_tls": True,
        "locations": ["local"],
        "tags": [],
        "enabled": True,
        "state": None,
        "since": None,
        "last_result": None,
        "tls_expires_at": None,
        "certificate": None,
    }
    assert {name: body[name] for name in expected} == expected
    created = parse_datetime(body["created_at"])
    assert created is not None
    assert body["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "at least 1 character"),
        ("name", "a\nb", "control character"),
        ("name", "a\u0085b", "control character"),
        ("name", "a\u202eb", "control character"),
        ("name", "x" * 201, "at most 200"),
        ("name", None, "valid string"),
        ("url", "ftp://example.org/", "http or https"),
        ("url", "http://user:secret@example.org/", "remove everything up to the @"),
        ("url", "http://exa mple.org/", "percent-encode"),
        ("url", "http://", "no host"),
        ("url", "http://" + "a" * 2050, "at most 2048"),
        ("url", 5, "valid string"),
        ("interval", 61, "multiple of 5"),
        ("interval", 0, "greater than or equal to 5"),
        ("interval", 86_405, "less than or equal to 86400"),
        ("interval", "60", "valid integer"),
        ("interval", True, "valid integer"),
        ("timeout", 0, "greater than or equal to 1"),
        ("timeout", 61, "less than or equal to 60"),
        ("method", "BREW", "'GET'"),
        ("expected_status", "ok", "200-299,401"),
        ("expected_status", "299-200", "backwards"),
        ("follow_redirects", "yes", "valid boolean"),
        ("verify_tls", 1, "valid boolean"),
        ("tags", ["a", "a"], "twice"),
        ("tags", "a", "valid list"),
        ("locations", [], "at least 1"),
        ("locations", ["Nowhere!"], "lower-case letters, digits and hyphens"),
        ("enabled", None, "valid boolean"),
        ("interwal", 60, "no such field"),
    ],
)
def test_a_bad_field_is_named_with_its_cure(
    client: Client, field: str, value: Any, words: str
) -> None:
    body = {"name": "x", "url": "http://example.org/", field: value}
    problem = assert_problem(post(client, DOMAINS, body), 422)
    (error,) = problem["errors"]
    assert error["pointer"].startswith(f"#/{field}")
    assert words in error["detail"]
    assert not Domain.objects.exists()
    created = post(client, DOMAINS, {"name": "x", "url": "http://example.org/"}).json()
    problem = assert_problem(patch(client, f"{DOMAINS}{created['id']}", {field: value}), 422)
    assert problem["errors"][0]["pointer"].startswith(f"#/{field}")
    assert client.get(f"{DOMAINS}{created['id']}").json() == created


def test_missing_fields_are_each_named(client: Client) -> None:
    problem = assert_problem(post(client, DOMAINS, {}), 422)
    assert [error["pointer"] for error in problem["errors"]] == ["#/name", "#/url"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"name": "x",}'])
def test_what_is_not_json_is_400(client: Client, body: bytes) -> None:
    assert_problem(client.post(DOMAINS, body, content_type="application/json"), 400)


@pytest.mark.parametrize("body", ["[]", "null", '"x"', "5", ""])
def test_json_that_is_not_an_object_is_422(client: Client, body: str) -> None:
    response = client.post(DOMAINS, body, content_type="application/json")
    (error,) = assert_problem(response, 422)["errors"]
    assert error == {"pointer": "#", "detail": "the body must be a JSON object"}


def test_a_change_touches_what_was_sent_and_no_more(client: Client) -> None:
    created = post(client, DOMAINS, {"name": "x", "url": "http://example.org/"}).json()
    path = f"{DOMAINS}{created['id']}"
    before = Domain.objects.get().scheduled_since
    changed = patch(client, path, {"name": "y", "tags": ["a", "b"]}).json()
    assert {**created, "name": "y", "tags": ["a", "b"], "version": 2} == {
        **changed,
        "updated_at": created["updated_at"],
    }
    assert changed["updated_at"] > created["updated_at"]
    assert Domain.objects.get().scheduled_since == before
    patch(client, path, {"interval": 30})
    assert Domain.objects.get().scheduled_since > before


def test_a_deleted_domain_is_gone(client: Client, make_domain: MakeDomain) -> None:
    domain = make_domain()
    store(domain, 2)
    path = f"{DOMAINS}{domain.pk}"
    assert client.delete(path).status_code == 204
    for response in (
        client.get(path),
        client.delete(path),
        patch(client, path, {"name": "z"}),
        client.get(f"/api/monitoring/{domain.pk}/history"),
        client.get(f"/api/monitoring/{domain.pk}/summary"),
        client.post(f"/api/monitoring/{domain.pk}/check"),
    ):
        assert_problem(response, 404)


@pytest.mark.parametrize("domain_id", ["0", "-1", "x", str(2**63), "9" * 40, "1.5"])
def test_an_id_that_cannot_be_is_refused(client: Client, domain_id: str) -> None:
    assert_problem(client.get(f"{DOMAINS}{domain_id}"), 422)


def pages(client: Client, path: str) -> list[dict[str, Any]]:
    """Follow ``next`` to the end, as a client does."""
    found: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = client.get(following.removeprefix("http://testserver")).json()
        found += answer["items"]
        following = answer["next"]
    return found


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_of_domains_have_each_once(
    client: Client, make_domain: MakeDomain, limit: int
) -> None:
    ids = [make_domain().pk for _ in range(7)]
    assert [item["id"] for item in pages(client, f"{DOMAINS}?limit={limit}")] == ids


def test_the_list_costs_the_same_queries_however_long(
    client: Client, make_domain: MakeDomain, django_assert_num_queries: Any
) -> None:
    for count in (2, 20):
        for _ in range(count):
            store(make_domain(), 1)
        client.get(DOMAINS)
        with django_assert_num_queries(6):
            assert client.get(f"{DOMAINS}?limit=1000").json()["items"][0]["state"] == "up"


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_history_is_newest_first_and_whole(
    client: Client, make_domain: MakeDomain, limit: int
) -> None:
    domain = make_domain()
    store(domain, 9)
    store(make_domain(), 2)
    items = pages(client, f"/api/monitoring/{domain.pk}/history?limit={limit}")
    slots = [item["slot"] for item in items]
    assert slots == sorted(slots, reverse=True)
    assert len(set(slots)) == 9
    assert items[-1]["slot"] == "2026-11-23T12:00:00Z"
    assert items[-1]["started_at"] == "2026-11-23T12:00:00.123456Z"
    assert items[-1]["total_us"] == 1000


def test_history_between_two_instants(client: Client, make_domain: MakeDomain) -> None:
    domain = make_domain()
    store(domain, 5)
    path = f"/api/monitoring/{domain.pk}/history"
    span = {"from": "2026-11-23T12:01:00Z", "to": "2026-11-23T14:03:00+02:00"}
    slots = [item["slot"] for item in client.get(path, span).json()["items"]]
    assert slots == ["2026-11-23T12:02:00Z", "2026-11-23T12:01:00Z"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "WzFd"}, "cursor"),
        ({"cursor": encode_cursor("0001-01-01T00:00:00+23:59:59.9", 1)}, "cursor"),
        ({"cursor": encode_cursor("2026-11-23T12:00:00Z", 2**31)}, "cursor"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-23T12:00:00"}, "from"),
        ({"to": "0001-01-01T00:00:00+14:00"}, "to"),
        ({"from": "2026-11-23T12:00:00Z", "to": "2026-11-23T12:00:00Z"}, "to"),
    ],
)
def test_a_bad_parameter_is_named(
    client: Client, make_domain: MakeDomain, query: dict[str, str], parameter: str
) -> None:
    domain = make_domain()
    problem = assert_problem(client.get(f"/api/monitoring/{domain.pk}/history", query), 422)
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


def test_a_manual_check_is_accepted_and_can_be_polled(
    client: Client, make_domain: MakeDomain, django_capture_on_commit_callbacks: Any
) -> None:
    domain = make_domain(locations=["local", "paris"])
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(f"/api/monitoring/{domain.pk}/check")
    assert response.status_code == 202
    body = response.json()
    assert response["Location"] == body["status_url"]
    assert body["status_url"].endswith(f"/api/monitoring/runs/{body['run_id']}")
    run = client.get(body["status_url"].removeprefix("http://testserver")).json()
    assert run == {"run_id": body["run_id"], "status": "pending", "results": [], "next": None}
    # The queue took the messages at once; no sweep was needed.
    assert not Batch.objects.filter(enqueued_at=None).exists()
    assert Batch.objects.count() == 2


def test_a_large_run_comes_page_by_page(client: Client, make_domain: MakeDomain) -> None:
    domains = [make_domain(locations=["local", "paris"]) for _ in range(4)]
    run_id = dispatch.request_checks(domains, now=NOW)
    (slot,) = set(Batch.objects.values_list("slot", flat=True))
    outcome = Outcome(state=State.UP, phases=Phases(None, None, None, None, None), total_us=1)
    places = Location.objects.order_by("pk")
    rows = [
        Row(one.pk, place.pk, slot, Kind.MANUAL, slot, outcome)
        for place in places
        for one in domains
    ]
    record(rows[:-1])  # the last is still to come
    path = f"/api/monitoring/runs/{run_id}"
    whole = client.get(path).json()
    assert whole["next"] is None
    assert len(whole["results"]) == 7
    found, sizes, address = [], [], f"{path}?limit=3"
    while address:
        page = client.get(address).json()
        found += page["results"]
        sizes.append(len(page["results"]))
        address = page["next"]
    assert sizes == [3, 3, 1]
    assert found == whole["results"]
    names = {place.pk: place.name for place in places}
    order = [(names[row.location_id], row.domain_id) for row in rows[:-1]]
    assert [(item["location"], item["domain_id"]) for item in found] == order
    for query in ({"cursor": "nonsense"}, {"cursor": encode_cursor("a", 1)}, {"limit": 0}):
        assert_problem(client.get(path, query), 422)


def test_an_unknown_run_is_404(client: Client) -> None:
    assert_problem(client.get("/api/monitoring/runs/5f0c6a52-6f0e-4a55-9a53-3a6d7a1f2b7c"), 404)
    assert_problem(client.get("/api/monitoring/runs/nonsense"), 422)


def test_the_summary_keeps_our_faults_out_of_uptime(
    client: Client, make_domain: MakeDomain
) -> None:
    from domains.clock import database_now

    domain = make_domain()
    location = Location.objects.create(name="local")
    now = database_now()
    states = ["up"] * 6 + ["down"] * 2 + ["internal", "missed"]
    reasons = {"down": Reason.STATUS, "internal": Reason.NO_NETWORK, "missed": Reason.LATE}
    record(
        [
            Row(
                domain_id=domain.pk,
                location_id=location.pk,
                slot=now - timedelta(minutes=50 - n),
                kind=Kind.SCHEDULED,
                started_at=None if state == "missed" else now,
                outcome=Outcome(state=State(state), reason=reasons.get(state), total_us=100 * n),
            )
            for n, state in enumerate(states)
        ]
    )
    body = client.get(f"/api/monitoring/{domain.pk}/summary").json()
    assert body["state"] == "internal"
    assert [window["window"] for window in body["windows"]] == [
        "1h",
        "24h",
        "7d",
        "30d",
        "90d",
    ]
    hour = body["windows"][0]
    assert (hour["expected"], hour["up"], hour["down"]) == (10, 6, 2)
    assert (hour["internal"], hour["missed"]) == (1, 1)
    assert (hour["uptime"], hour["coverage"]) == (0.75, 0.8)
    assert (hour["p50_us"], hour["p99_us"]) == (200, 500)


def test_a_summary_of_nothing_claims_nothing(client: Client, make_domain: MakeDomain) -> None:
    body = client.get(f"/api/monitoring/{make_domain().pk}/summary").json()
    assert body["state"] is None
    assert {(w["uptime"], w["coverage"], w["p50_us"]) for w in body["windows"]} == {
        (None, None, None)
    }


def test_the_ledger_of_a_span(client: Client, make_domain: MakeDomain) -> None:
    make_domain(interval=5)
    dispatch.sweep(now=NOW, retention=timedelta(days=30))
    span = {"from": "2026-11-23T12:00:00Z", "to": "2026-11-23T12:00:05Z"}
    assert client.get("/api/monitoring/ledger", span).json() == {
        "expected": 1,
        "up": 0,
        "degraded": 0,
        "down": 0,
        "internal": 0,
        "missed": 0,
        "pending": 1,
        "unaccounted": 0,
        "balanced": True,
        "buckets": None,
    }
    assert_problem(client.get("/api/monitoring/ledger", {"from": "x"}), 422)
    assert client.get("/api/monitoring/ledger").json()["balanced"]


def test_errors_outside_the_routes_have_the_same_shape(client: Client) -> None:
    assert_problem(client.get("/nothing"), 404)
    assert_problem(client.get("/api/nothing"), 404)
    response = client.put(DOMAINS)
    assert_problem(response, 405)
    assert set(response["Allow"].split(", ")) >= {"GET", "POST"}


def test_a_body_beyond_the_limit_is_413(client: Client) -> None:
    body = {"name": "x" * 1_100_000, "url": "http://example.org/"}
    assert_problem(post(client, DOMAINS, body), 413)


def test_a_body_in_chunks_is_asked_for_its_length(client: Client) -> None:
    response = client.get(DOMAINS, headers={"Transfer-Encoding": "chunked"})
    assert_problem(response, 411)


def test_a_host_that_is_no_name_is_400(client: Client, make_domain: MakeDomain) -> None:
    path = f"/api/monitoring/{make_domain().pk}/check"
    assert_problem(client.post(path, headers={"Host": "a b"}), 400)


def test_a_defect_is_a_500_that_tells_nothing_but_a_number(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(**_: Any) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("domains.listing.page_of_domains", defect)
    problem = assert_problem(client.get(DOMAINS), 500)
    assert "secret" not in json.dumps(problem)


def test_the_front_page_leads_to_the_documentation(client: Client) -> None:
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, "/api/docs")
