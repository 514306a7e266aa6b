"""Many domains in one request: each result as if it had been alone, and in few statements."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains import bulk, services
from domains.audit import OPERATOR, AuditEntry
from domains.bulk import Done, Reference
from domains.models import Domain, PastSchedule
from domains.request import MASK
from domains.schemas import DomainIn
from domains.shown import shown
from monitoring.models import Batch
from sentinel.problem_types import TYPES
from tests.conftest import KEY, NOW, MakeDomain
from tests.integration.test_api import DOMAINS, assert_problem, post

BULK = f"{DOMAINS}bulk/"
CHECK = "/api/monitoring/check"
MINUTE = timedelta(minutes=1)
GOOD = {"name": "x", "url": "http://example.org/"}


def results(client: Client, path: str, body: Any) -> list[dict[str, Any]]:
    response = post(client, path, body)
    assert response.status_code == 200, response.content
    answer = response.json()
    found: list[dict[str, Any]] = answer["results"]
    assert [each["index"] for each in found] == list(range(len(found)))
    assert answer["succeeded"] == sum(each["problem"] is None for each in found)
    assert answer["failed"] == len(found) - answer["succeeded"]
    titles = {kind.uri: kind.title for kind in TYPES}
    for problem in (each["problem"] for each in found):
        assert problem is None or problem["title"] == titles[problem["type"]]
    return found


def statuses(found: list[dict[str, Any]]) -> list[int]:
    return [each["status"] for each in found]


def pointers(result: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in result["problem"]["errors"]]


def test_what_is_wrong_with_one_stops_no_other(client: Client, make_domain: MakeDomain) -> None:
    make_domain(external_id="taken")
    found = results(
        client,
        f"{BULK}create",
        {
            "items": [
                {**GOOD, "external_id": "a"},
                {**GOOD, "interval": 61, "colour": 1},
                {**GOOD, "external_id": "taken"},
                {**GOOD, "external_id": "a"},
                "nonsense",
                {**GOOD, "body": "b"},
                {**GOOD, "headers": {"X": MASK}},
                {"url": "http://example.org/", "id": 7},
                GOOD,
            ]
        },
    )
    assert statuses(found) == [201, 422, 409, 409, 422, 422, 422, 422, 201]
    assert pointers(found[1]) == ["#/interval", "#/colour"]
    assert pointers(found[4]) == ["#"]
    assert pointers(found[6]) == ["#/headers/X"]
    assert pointers(found[7]) == ["#/name", "#/id"]
    assert "read-only" in found[7]["problem"]["errors"][1]["detail"]
    assert found[2]["problem"]["type"] == "/api/problems/conflict"
    for each in (found[0], found[8]):
        alone = client.get(f"{DOMAINS}{each['id']}").json()
        assert each["domain"] == alone
    assert Domain.objects.count() == 3
    assert AuditEntry.objects.count() == 3


def test_changes_of_many(client: Client, make_domain: MakeDomain) -> None:
    a, b, c = (make_domain(external_id=name) for name in "abc")
    found = results(
        client,
        f"{BULK}update",
        {
            "items": [
                {"id": a.pk, "version": 1, "changes": {"name": "y", "external_id": "z"}},
                {"external_id": "b", "changes": {"external_id": "a"}},
                {"id": c.pk, "version": 2, "changes": {"name": "y"}},
                {"id": a.pk, "changes": {"name": "twice"}},
                {"id": 2**62, "changes": {}},
                {"id": c.pk, "external_id": "c", "changes": {}},
                {"id": c.pk, "changes": {"interval": 61}},
            ]
        },
    )
    assert statuses(found) == [200, 200, 412, 409, 404, 422, 422]
    assert pointers(found[6]) == ["#/changes/interval"]
    names = dict(Domain.objects.values_list("pk", "external_id"))
    assert names == {a.pk: "z", b.pk: "a", c.pk: "c"}
    assert found[0]["domain"]["version"] == 2
    assert AuditEntry.objects.filter(action="domain.changed").count() == 2


def test_names_may_go_in_a_circle_by_way_of_none(client: Client, make_domain: MakeDomain) -> None:
    a, b = make_domain(external_id="a"), make_domain(external_id="b")
    swap = [
        {"id": a.pk, "changes": {"external_id": "b"}},
        {"id": b.pk, "changes": {"external_id": "a"}},
    ]
    # As one by one: the first is refused, and so the second is.
    assert statuses(results(client, f"{BULK}update", {"items": swap})) == [409, 409]


def test_pause_resume_and_delete(client: Client, make_domain: MakeDomain) -> None:
    domains = [make_domain(external_id=f"{n}") for n in range(3)]
    ids = [domain.pk for domain in domains]
    paused = results(client, f"{BULK}pause", {"ids": [*ids, ids[0], 0, 10**9]})
    assert statuses(paused) == [200, 200, 200, 409, 422, 404]
    assert not Domain.objects.filter(enabled=True).exists()
    assert PastSchedule.objects.count() == 3
    assert statuses(results(client, f"{BULK}pause", {"external_ids": ["0"]})) == [200]
    assert Domain.objects.get(pk=ids[0]).version == 2
    assert statuses(results(client, f"{BULK}resume", {"external_ids": ["0", "9"]})) == [200, 404]
    items = [{"id": ids[0], "version": 1}, {"id": ids[0], "version": 3}, {"external_id": "1"}]
    assert statuses(results(client, f"{BULK}delete", {"items": items})) == [412, 409, 204]
    assert Domain.objects.count() == 2


def test_puts_of_many(client: Client, make_domain: MakeDomain) -> None:
    make_domain(external_id="a", url=GOOD["url"], headers={"X": "1"}, interval=300)
    items = [
        {**GOOD, "external_id": "a", "headers": {"X": MASK}},
        {**GOOD, "external_id": "b"},
        {**GOOD, "external_id": "a"},
        GOOD,
        {**GOOD, "external_id": "c", "headers": {"X": MASK}},
    ]
    found = results(client, f"{BULK}upsert", {"items": items})
    assert statuses(found) == [200, 201, 409, 422, 422]
    assert (found[0]["domain"]["interval"], found[0]["domain"]["version"]) == (60, 2)
    before = AuditEntry.objects.count()
    again = results(client, f"{BULK}upsert", {"items": items[:2]})
    assert statuses(again) == [200, 200]
    assert [each["domain"]["version"] for each in again] == [2, 1]
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("create", {"items": [{**GOOD, "external_id": "new"}, {**GOOD, "external_id": "a"}]}),
        ("upsert", {"items": [{**GOOD, "external_id": n} for n in ("new", "a", "a")]}),
        ("update", {"items": [{"external_id": "a", "changes": {"interval": 300}}, {"id": 0}]}),
        ("pause", {"external_ids": ["a", "b"]}),
        ("delete", {"external_ids": ["a", "b"]}),
        ("check", {"external_ids": ["a", "b", "a"]}),
    ],
)
def test_a_dry_run_says_what_would_be_and_does_nothing(
    client: Client, make_domain: MakeDomain, path: str, body: dict[str, Any]
) -> None:
    first = make_domain(external_id="a").pk
    address = CHECK if path == "check" else BULK + path
    rows = list(Domain.objects.values())
    tried = results(client, address, {**body, "dry_run": True})
    assert list(Domain.objects.values()) == rows
    assert AuditEntry.objects.count() == 1
    assert not PastSchedule.objects.exists()
    assert not Batch.objects.exists()
    done = results(client, address, body)
    assert statuses(tried) == statuses(done)
    assert [each["problem"] for each in tried] == [each["problem"] for each in done]
    new = [each["id"] for each in done if each["status"] == 201]
    assert new in ([], [first + 1])  # the trial took no id


@pytest.mark.parametrize("count", [0, 1001])
def test_there_is_a_most(client: Client, count: int) -> None:
    problem = assert_problem(post(client, f"{BULK}create", {"items": [GOOD] * count}), 422)
    assert problem["errors"][0]["pointer"] == "#/items"
    bodies: list[Any] = [{}, {"ids": [1], "external_ids": ["a"]}, {"ids": []}]
    for body in bodies:
        assert_problem(post(client, f"{BULK}pause", body), 422)


def test_many_cost_the_statements_of_few(client: Client, make_domain: MakeDomain) -> None:
    def asked(path: str, body: Any) -> int:
        with CaptureQueriesContext(connection) as queries:
            found = results(client, path, body)
        assert {each["status"] for each in found} <= {200, 201, 202, 204}
        return len(queries)

    costs = []
    for count in (2, 10, 100):  # the first makes locations, and notes the key's use
        names = [f"{count}/{n}" for n in range(count)]
        items = [{**GOOD, "external_id": name} for name in names]
        renames = [{"external_id": n, "changes": {"external_id": f"-{n}"}} for n in names]
        renamed = [f"-{name}" for name in names]
        costs.append(
            [
                asked(f"{BULK}create", {"items": items}),
                asked(f"{BULK}upsert", {"items": [{**each, "name": "y"} for each in items]}),
                asked(f"{BULK}update", {"items": renames}),
                asked(f"{BULK}pause", {"external_ids": renamed}),
                asked(CHECK, {"external_ids": renamed}),
                asked(f"{BULK}delete", {"external_ids": renamed}),
            ]
        )
    assert costs[2] == costs[1]


@pytest.mark.django_db(transaction=True)
def test_a_check_of_many_is_one_run_in_few_batches(settings: Any) -> None:
    from sentinel.access.bootstrap import store_bootstrap_key

    settings.SENTINEL_BATCH_SIZE = 4
    store_bootstrap_key(KEY, now=NOW)
    client = Client(headers={"Authorization": f"Bearer {KEY}"})
    here = [{**GOOD, "locations": ["local"]}] * 3
    both = [{**GOOD, "locations": ["local", "paris"]}] * 3
    created = results(client, f"{BULK}create", {"items": [*here, *both]})
    ids = [each["id"] for each in created]
    answer = post(client, CHECK, {"ids": [*ids, ids[0], 10**9]}).json()
    assert statuses(answer["results"]) == [202] * 6 + [409, 404]
    batches = Batch.objects.order_by("pk")
    assert [len(batch.domain_ids) for batch in batches] == [4, 2, 3]
    assert {str(batch.run_id) for batch in batches} == {answer["run_id"]}
    assert not batches.filter(enqueued_at=None).exists()  # published once it was durable
    run = client.get(answer["status_url"].removeprefix("http://testserver")).json()
    assert (run["status"], run["results"]) == ("pending", [])


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from("abc"),
        "interval": st.sampled_from([60, 300]),
        "enabled": st.booleans(),
        "external_id": st.sampled_from(["p", "q", "r", None]),
        "body": st.sampled_from([None, "text"]),  # which GET may not have
        "url": st.sampled_from(["http://a/", "http://b/"]),
        "headers": st.sampled_from([{}, {"X": MASK}]),
    },
)


@contextmanager
def undone() -> Iterator[None]:
    """Take back what is done inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _world() -> list[int]:
    made: list[dict[str, Any]] = [
        {"name": "a", "url": "http://a/", "external_id": "p", "headers": {"X": "1"}},
        {"name": "b", "url": "http://b/", "external_id": "q"},
        {"name": "c", "url": "http://c/"},
    ]
    return [services.create_domain(fields, by=OPERATOR, now=NOW).pk for fields in made]


_ANY_OF = {
    "create": st.lists(_FIELDS, min_size=1, max_size=3),
    "upsert": st.lists(
        st.tuples(st.sampled_from(["p", "q", "s"]), _FIELDS),
        min_size=1,
        max_size=3,
        unique_by=lambda item: item[0],
    ),
    "update": st.dictionaries(st.integers(0, 3), _FIELDS, min_size=1, max_size=3),
    **dict.fromkeys(("pause", "resume", "delete"), st.sets(st.integers(0, 3), min_size=1)),
}
_REQUESTS = st.lists(
    st.one_of(*(st.tuples(st.just(verb), items) for verb, items in _ANY_OF.items())),
    min_size=1,
    max_size=5,
)


def _whole(fields: dict[str, Any], external_id: str | None = None) -> dict[str, Any]:
    """Return all fields of a domain, as a body of POST or PUT comes from its schema."""
    body: dict[str, Any] = {"name": "n", "url": "http://n/", **fields}
    if external_id is not None:
        body["external_id"] = external_id
    return DomainIn(**body).dict()


def _said(result: bulk.Result) -> str:
    if isinstance(result, Done):
        return result.verb
    return re.sub(r"\d+", "#", repr(result))  # ids differ from one world to the other


def _in_bulk(verb: str, items: Any, ids: list[int], **known: Any) -> list[str]:
    known["dry_run"] = False
    found: list[bulk.Result]
    match verb:
        case "create":
            found = bulk.create_domains([_whole(fields) for fields in items], **known)
        case "upsert":
            found = bulk.put_domains([_whole(fields, name) for name, fields in items], **known)
        case "update":
            changes = [(Reference(ids[n]), fields) for n, fields in items.items()]
            found = bulk.change_domains(changes, **known)
        case "pause" | "resume":
            fields = {"enabled": verb == "resume"}
            found = bulk.change_domains([(Reference(ids[n]), fields) for n in items], **known)
        case _:
            found = bulk.delete_domains([Reference(ids[n]) for n in items], **known)
    return [_said(each) for each in found]


def _one_by_one(verb: str, items: Any, ids: list[int], **known: Any) -> list[str]:
    def one(act: Any, *arguments: Any, done: str) -> str:
        try:
            made = act(*arguments, **known)
        except bulk._REFUSALS as refusal:
            return _said(refusal)
        return "created" if isinstance(made, tuple) and made[1] else done

    match verb:
        case "create":
            return [one(services.create_domain, _whole(f), done="created") for f in items]
        case "upsert":
            return [one(services.put_domain, name, _whole(f), done="changed") for name, f in items]
        case "update":
            return [
                one(services.change_domain, ids[n], f, done="changed") for n, f in items.items()
            ]
        case "pause" | "resume":
            fields = {"enabled": verb == "resume"}
            return [one(services.change_domain, ids[n], fields, done="changed") for n in items]
    return [one(services.delete_domain, ids[n], done="deleted") for n in items]


@pytest.mark.django_db
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(requests=_REQUESTS)
def test_many_end_as_one_by_one(requests: list[tuple[str, Any]]) -> None:
    ends = []
    for way in (_in_bulk, _one_by_one):
        with undone():
            ids = [*_world(), 10**9]
            first = ids[0]
            outcomes = [
                way(verb, items, ids, by=OPERATOR, now=NOW + number * MINUTE)
                for number, (verb, items) in enumerate(requests, 1)
            ]
            ends.append(
                (
                    outcomes,
                    [
                        (d.pk - first, d.version, d.updated_at, d.scheduled_since, shown(d))
                        for d in Domain.objects.order_by("pk")
                    ],
                    [
                        (e.action, e.object_id - first, e.before, e.after)
                        for e in AuditEntry.objects.order_by("pk")
                    ],
                    sorted(
                        (p.domain_id - first, p.since, p.until, p.interval)
                        for p in PastSchedule.objects.all()
                    ),
                )
            )
    assert ends[0] == ends[1]


def test_of_very_many_errors_of_an_item_the_first_are_named(client: Client) -> None:
    item = {"name": "x", "url": "http://a.example/", **{f"k{number}": 1 for number in range(150)}}
    answer = post(client, f"{DOMAINS}bulk/create", {"items": [item]}).json()
    problem = answer["results"][0]["problem"]
    assert problem["detail"] == "150 fields are not valid, of which the first 100 are named"
    assert len(problem["errors"]) == 100
