"""Names of one's own, entity tags, and what several clients do to one domain at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.test import Client

from domains import bulk, services
from domains.audit import OPERATOR, AuditEntry
from domains.conflicts import VersionMismatch
from domains.models import Domain
from domains.preconditions import entity_tag, precondition
from domains.request import MASK
from tests.conftest import NOW, MakeDomain
from tests.integration.locks import until, waiting_for_locks
from tests.integration.test_api import DOMAINS, assert_problem, patch, post

NAMED = f"{DOMAINS}by-external-id/"
BODY = {"name": "x", "url": "http://example.org/"}


def put(client: Client, path: str, body: Any, **headers: str) -> Any:
    return client.put(path, body, content_type="application/json", headers=headers)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run jobs in threads that begin together; return what each gave or raised."""
    results: list[Any] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(number: int, job: Callable[[], Any]) -> None:
        start.wait(10)
        try:
            results[number] = job()
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results


def with_own_connection(job: Callable[[], Any]) -> Any:
    """Run a job of a thread; leave no connection behind."""
    try:
        return job()
    finally:
        connection.close()


def test_every_answer_of_one_domain_has_its_tag(client: Client) -> None:
    created = post(client, DOMAINS, {**BODY, "external_id": "a"})
    path = created["Location"]
    tag = created["ETag"]
    assert tag == f'"{created.json()["id"]}.1"'
    assert client.get(path)["ETag"] == client.get(f"{NAMED}a")["ETag"] == tag
    assert patch(client, path, {"name": "x"})["ETag"] == tag  # nothing changed
    changed = patch(client, path, {"name": "y"})
    assert (changed.json()["version"], changed["ETag"] != tag) == (2, True)
    # The state in the answer moves on under the same tag: it is always sent whole.
    assert client.get(path, headers={"If-None-Match": changed["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('"{id}.1"', 200),
        ('"x", "{id}.1" ,', 200),
        ("*", 200),
        ('"{id}.2"', 412),
        ('W/"{id}.1"', 412),
        ('"1"', 412),
        ("{id}.1", 422),
        ('"{id}.1', 422),
        ("", 422),
        (",", 422),
        ('*, "{id}.1"', 422),
    ],
)
def test_a_change_under_a_condition(client: Client, header: str, status: int) -> None:
    created = post(client, DOMAINS, {**BODY, "external_id": "a"}).json()
    path = f"{DOMAINS}{created['id']}"
    value = header.format(id=created["id"])
    for answer in (
        client.patch(
            path, {"name": "x"}, content_type="application/json", headers={"If-Match": value}
        ),
        put(client, f"{NAMED}a", BODY, **{"If-Match": value}),
        client.delete(path, headers={"If-Match": value}),
    ):
        if status == 200:
            assert answer.status_code in (200, 204)
            continue
        problem = assert_problem(answer, status)
        if status == 422:
            assert problem["errors"][0]["header"] == "If-Match"
    assert Domain.objects.exists() is (status != 200)


def test_a_put_registers_then_replaces_and_then_rests(client: Client) -> None:
    secret = {**BODY, "headers": {"X-Key": "sesame"}, "interval": 300, "group": "Shop"}
    first = put(client, f"{NAMED}cmdb/1", secret)
    assert (first.status_code, first.json()["external_id"]) == (201, "cmdb/1")
    assert first["Location"] == f"{DOMAINS}{first.json()['id']}"

    again = put(client, f"{NAMED}cmdb/1", {**secret, "headers": {"X-Key": MASK}})
    assert (again.status_code, again.json()) == (200, first.json())
    assert AuditEntry.objects.count() == 1

    bare = put(client, f"{NAMED}cmdb/1", BODY).json()
    assert (bare["headers"], bare["interval"], bare["group"]) == ({}, 60, None)
    assert (bare["version"], bare["id"]) == (2, first.json()["id"])

    assert_problem(put(client, f"{NAMED}cmdb/1", BODY, **{"If-None-Match": "*"}), 412)
    assert_problem(put(client, f"{NAMED}none", BODY, **{"If-Match": "*"}), 412)
    assert put(client, f"{NAMED}new", BODY, **{"If-None-Match": "*"}).status_code == 201
    problem = assert_problem(put(client, f"{NAMED}a", {**BODY, "external_id": "b"}), 422)
    assert problem["errors"][0]["pointer"] == "#/external_id"
    assert_problem(put(client, f"{NAMED}b", {**BODY, "headers": {"X-Key": MASK}}), 422)


@pytest.mark.parametrize(
    "name", ["a", "a/b", "a b", "ü/名", "%", "a%2Fb", "?q#f", "a+b", "é" * 200, "1", "a;b,c&d='\""]
)
def test_a_name_of_any_characters_is_an_address(client: Client, name: str) -> None:
    created = post(client, DOMAINS, {**BODY, "external_id": name})
    assert created.status_code == 201
    for address in (quote(name, safe=""), quote(name)):
        found = client.get(NAMED + address)
        assert (found.status_code, found.json()["external_id"]) == (200, name)
        assert put(client, NAMED + address, BODY).status_code == 200
    listed = client.get(DOMAINS, {"external_id": name}).json()["items"]
    assert [item["external_id"] for item in listed] == [name]


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a//b", "/a", "a/", ".", "..", "a/../b", "a\n", "x" * 201, "\x00", 5]
)
def test_a_name_that_is_no_address_is_refused(client: Client, name: Any) -> None:
    problem = assert_problem(post(client, DOMAINS, {**BODY, "external_id": name}), 422)
    assert problem["errors"][0]["pointer"] == "#/external_id"
    assert not Domain.objects.exists()


def test_a_name_is_one_domains(client: Client, make_domain: MakeDomain) -> None:
    taken = make_domain(external_id="a")
    other = make_domain(external_id="b")
    assert_problem(post(client, DOMAINS, {**BODY, "external_id": "a"}), 409)
    assert_problem(patch(client, f"{DOMAINS}{other.pk}", {"external_id": "a"}), 409)
    assert patch(client, f"{DOMAINS}{taken.pk}", {"external_id": "a"}).status_code == 200
    assert patch(client, f"{DOMAINS}{taken.pk}", {"external_id": None}).status_code == 200
    assert patch(client, f"{DOMAINS}{other.pk}", {"external_id": "a"}).status_code == 200
    assert_problem(client.get(f"{NAMED}b"), 404)


def test_what_is_read_only_is_named_as_such(client: Client) -> None:
    created = post(client, DOMAINS, BODY).json()
    sent = {"id": 5, "state": "up", "links": {}, "created_at": "x", "interval": 61, "colour": 1}
    errors = assert_problem(patch(client, f"{DOMAINS}{created['id']}", sent), 422)["errors"]
    words = {error["pointer"]: error["detail"] for error in errors}
    for name in ("id", "state", "links", "created_at"):
        assert words.pop(f"#/{name}") == "this field is read-only: leave it out"
    assert "no such field" in words.pop("#/colour")
    assert "multiple of 5" in words.pop("#/interval")
    assert words == {}


def test_links_lead_somewhere(client: Client) -> None:
    links = post(client, DOMAINS, BODY).json()["links"]
    for name in ("self", "history", "summary"):
        path = links[name].removeprefix("http://testserver")
        assert client.get(path).status_code == 200
    assert links["check"].endswith("/check")


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_of_one_version_one_is_made() -> None:
    domain = services.create_domain(BODY, by=OPERATOR, now=NOW)
    only = precondition(entity_tag(domain))
    names = ["a", "b", "c", "d"]
    results = at_once(
        *(
            partial(services.change_domain, domain.pk, {"name": n}, by=OPERATOR, now=NOW, only=only)
            for n in names
        )
    )
    (made,) = [each for each in results if isinstance(each, Domain)]
    assert sum(isinstance(each, VersionMismatch) for each in results) == 3
    stored = Domain.objects.get()
    assert (stored.name, stored.version) == (made.name, 2)
    assert AuditEntry.objects.count() == 2


@pytest.mark.parametrize("behind", [timedelta(0), timedelta(seconds=3), timedelta(days=1)])
def test_a_later_version_has_a_later_time(make_domain: MakeDomain, behind: timedelta) -> None:
    """Who waits for another's change has read the clock before that one did."""
    first = make_domain()
    second = services.change_domain(first.pk, {"name": "b"}, by=OPERATOR, now=NOW)
    third = services.change_domain(first.pk, {"name": "c"}, by=OPERATOR, now=NOW - behind)
    assert [each.version for each in (first, second, third)] == [1, 2, 3]
    assert first.updated_at < second.updated_at < third.updated_at
    stored = Domain.objects.get()
    assert (stored.version, stored.updated_at) == (3, third.updated_at)


@pytest.mark.django_db(transaction=True)
def test_concurrent_puts_of_one_name_end_as_one_domain() -> None:
    jobs = [
        partial(services.put_domain, "a", {**BODY, "name": f"{n}"}, by=OPERATOR, now=NOW)
        for n in range(6)
    ]
    results = at_once(*jobs)
    assert sorted(new for _, new in results) == [False] * 5 + [True]
    stored = Domain.objects.get()
    assert stored.version == 6
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")] == [
        "domain.created",
        *["domain.changed"] * 5,
    ]


def _freed_by_deletion(domain_id: int) -> None:
    services.delete_domain(domain_id, by=OPERATOR, now=NOW)


def _freed_by_a_change(domain_id: int) -> None:
    services.change_domain(domain_id, {"external_id": None}, by=OPERATOR, now=NOW)


def _put_one() -> list[bool]:
    return [services.put_domain("a", BODY, by=OPERATOR, now=NOW)[1]]


def _put_many() -> list[bool]:
    items = [{**BODY, "external_id": name} for name in "ab"]
    found = bulk.put_domains(items, by=OPERATOR, now=NOW, dry_run=False)
    assert all(isinstance(each, bulk.Done) for each in found), found
    return [isinstance(each, bulk.Done) and each.verb == "created" for each in found]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("free", [_freed_by_deletion, _freed_by_a_change])
@pytest.mark.parametrize("put_again", [_put_one, _put_many])
def test_a_put_registers_when_the_name_is_freed_while_it_waits(
    free: Callable[[int], None], put_again: Callable[[], list[bool]]
) -> None:
    had = services.create_domain({**BODY, "external_id": "a"}, by=OPERATOR, now=NOW)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            free(had.pk)
            putting = threads.submit(with_own_connection, put_again)
            until(waiting_for_locks, "the put waits for the domain")
        assert putting.result(20)[0] is True
    assert Domain.objects.get(external_id="a").pk != had.pk


@pytest.mark.django_db(transaction=True)
def test_two_bulk_puts_at_once_register_each_name_once() -> None:
    def put_all(names: str) -> list[bulk.Result]:
        items = [{**BODY, "external_id": name} for name in names]
        return bulk.put_domains(items, by=OPERATOR, now=NOW, dry_run=False)

    names = "abcdefgh"
    results = at_once(*(partial(put_all, names[::step]) for step in (1, -1, 1, -1)))
    verbs = [each.verb for found in results for each in found if isinstance(each, bulk.Done)]
    assert sorted(verbs) == ["changed"] * 24 + ["created"] * 8
    assert Domain.objects.count() == 8


def test_a_list_of_tags_that_never_ends_is_refused_at_once(client: Client) -> None:
    """White space that could belong to two places was tried in all ways: minutes, not moments."""
    created = post(client, DOMAINS, BODY).json()
    began = time.process_time()
    answer = client.delete(
        f"{DOMAINS}{created['id']}", headers={"If-Match": '"a"' + ",  " * 2000 + "x"}
    )
    assert "header" in assert_problem(answer, 422)["errors"][0]
    assert time.process_time() - began < 10
