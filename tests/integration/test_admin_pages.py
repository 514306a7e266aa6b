"""Every page of the admin: who may see it, and that no row more costs a query more."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from domains.admin import base
from domains.audit import AuditEntry
from domains.models import Domain
from monitoring.ledger import Row
from monitoring.models import Batch, DomainState, Location, Tick, Transition, WorkerPulse
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State
from monitoring.recording import record
from sentinel.access.models import ApiKey
from tests.conftest import NOW, MakeDomain
from tests.integration.signing_in import make_user, signed_in

pytestmark = pytest.mark.django_db

SEEN = (Location, Tick, Batch, DomainState, Transition, WorkerPulse)
OF_ADMINS = (ApiKey, User, AuditEntry)
MODELS = (Domain, *SEEN, *OF_ADMINS)


def page(model: Any, name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@pytest.fixture
def rows(make_domain: MakeDomain) -> Callable[[int], None]:
    """Return a function that adds some rows of everything."""
    made = 0

    def add(count: int) -> None:
        nonlocal made
        location, _ = Location.objects.get_or_create(name="local")
        for _ in range(count):
            made += 1
            slot = NOW + timedelta(minutes=made)
            domain = make_domain(headers={"X-A": "1"}, tags=["a"], locations=["local", "paris"])
            outcome = Outcome(state=State.UP, total_us=1000)
            record(
                [
                    Row(
                        domain_id=domain.pk,
                        location_id=location.pk,
                        slot=slot,
                        kind=Kind.SCHEDULED,
                        started_at=slot,
                        outcome=outcome,
                    )
                ]
            )
            Location.objects.create(name=f"place-{made}")
            Tick.objects.create(instant=slot, swept_at=slot, expected=1)
            Batch.objects.create(
                kind=Kind.SCHEDULED,
                location=location,
                slot=slot,
                expires_at=slot,
                domain_ids=[domain.pk],
            )
            WorkerPulse.objects.create(
                process=f"host/{made}",
                location="local",
                seen_at=slot,
                in_flight=1,
                unrecorded=0,
                lag_us=5,
            )
            ApiKey.objects.create(
                name=f"key {made}", prefix="12345678", digest=made.to_bytes(32), scopes=["read"]
            )
            User.objects.create(username=f"user {made}", is_staff=True)

    return add


def test_every_model_of_ours_has_its_pages() -> None:
    assert set(admin.site._registry) == set(MODELS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scope", [None, "read", "write", "admin"])
def test_a_scope_opens_its_pages_and_no_others(
    rows: Callable[[int], None], scope: str | None, model: Any
) -> None:
    rows(1)
    browser = Client() if scope is None else signed_in(scope)
    sees = scope is not None and (scope == "admin" or model not in OF_ADMINS)
    writes = (model is Domain and scope in ("write", "admin")) or (
        model in (ApiKey, User) and scope == "admin"
    )
    row = model.objects.order_by("pk").last()
    answers = {
        "changelist": browser.get(page(model, "changelist")),
        "change": browser.get(page(model, "change", quote(row.pk))),
        "add": browser.get(page(model, "add")),
        "delete": browser.get(page(model, "delete", quote(row.pk))),
    }
    statuses = {name: answer.status_code for name, answer in answers.items()}
    refused = 302 if scope is None else 403
    deletes = model is Domain and writes
    assert statuses == {
        "changelist": 200 if sees else refused,
        "change": 200 if sees else refused,
        "add": 200 if writes else refused,
        "delete": 200 if deletes else refused,
    }
    if sees:
        assert (b'name="_save"' in answers["change"].content) == writes
    if not writes:
        before = type(row).objects.values().get(pk=row.pk)
        change = page(model, "change", quote(row.pk))
        assert browser.post(change, {"name": "x"}).status_code in (302, 403)
        assert type(row).objects.values().get(pk=row.pk) == before


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
def test_no_page_of_a_row_leads_to_what_is_refused(rows: Callable[[int], None], scope: str) -> None:
    rows(1)
    browser = signed_in(scope)
    models: tuple[Any, ...] = MODELS
    for model in models:
        row = model.objects.order_by("pk").last()
        answer = browser.get(page(model, "change", quote(row.pk)))
        if answer.status_code == 403:
            continue
        links = set(re.findall(r'href="(/admin/[^"]+)"', answer.content.decode()))
        assert page(model, "changelist") in links
        for link in links:
            assert browser.get(unescape(link)).status_code in (200, 302), (model, link)


def test_what_is_seen_where_a_domain_is_checked_no_more_is_no_present_state(
    make_domain: MakeDomain,
) -> None:
    domain = make_domain(locations=["local"])
    for name in ("local", "paris"):
        place = Location.objects.create(name=name)
        DomainState.objects.create(domain=domain, location=place, state="up", since=NOW, slot=NOW)
    here, elsewhere = DomainState.objects.order_by("pk")
    browser = signed_in("read")
    links = re.findall(
        rf'href="{page(DomainState, "changelist")}(\d+)/change/',
        browser.get(page(DomainState, "changelist")).content.decode(),
    )
    assert set(links) == {str(here.pk)}
    assert browser.get(page(DomainState, "change", here.pk)).status_code == 200
    assert browser.get(page(DomainState, "change", elsewhere.pk)).status_code == 302


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
def test_the_overview_names_what_the_scope_opens(scope: str) -> None:
    text = signed_in(scope).get("/admin/").content.decode()
    for model in MODELS:
        sees = scope == "admin" or model not in OF_ADMINS
        assert (f'href="{page(model, "changelist")}"' in text) == sees


def test_who_has_no_scope_or_is_no_user_of_the_pages_sees_nothing(make_domain: MakeDomain) -> None:
    user = make_user(scope="admin")
    user.groups.clear()
    browser = Client()
    browser.force_login(user)
    assert browser.get(page(Domain, "changelist")).status_code == 403
    User.objects.update(is_staff=False)
    assert browser.get(page(Domain, "changelist")).status_code == 302


def queries(browser: Client, address: str) -> list[str]:
    browser.get(address)  # what a process asks once, such as the types of content, is asked here
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(address).status_code == 200
    return [query["sql"] for query in captured]


@pytest.mark.parametrize("model", MODELS)
def test_a_list_costs_the_same_however_long(rows: Callable[[int], None], model: Any) -> None:
    browser = signed_in("admin")
    rows(2)
    few = queries(browser, page(model, "changelist"))
    rows(5)
    many = queries(browser, page(model, "changelist"))
    assert len(many) == len(few), "\n".join(many)
    # Nothing is counted but up to a limit.
    counts = [statement for statement in many if "COUNT(" in statement]
    assert len(counts) == 1
    assert f"LIMIT {base.MOST_LISTED + 1}" in counts[0]


@pytest.mark.parametrize("model", MODELS)
def test_a_row_costs_the_same_however_many_there_are(
    rows: Callable[[int], None], model: Any
) -> None:
    browser = signed_in("admin")
    rows(2)
    address = page(model, "change", quote(model.objects.order_by("pk").first().pk))
    few = queries(browser, address)
    rows(5)
    many = queries(browser, address)
    assert len(many) == len(few) <= 8, "\n".join(many)
    assert not [statement for statement in many if "COUNT(" in statement]


def test_the_results_of_a_domain_cost_the_same_however_many(rows: Callable[[int], None]) -> None:
    browser = signed_in("read")
    rows(1)
    domain = Domain.objects.get()
    address = f"/admin/domains/domain/{domain.pk}/results/"
    few = queries(browser, address)
    location = Location.objects.get(name="local")
    record(
        [
            Row(
                domain_id=domain.pk,
                location_id=location.pk,
                slot=NOW + timedelta(hours=1, minutes=n),
                kind=Kind.SCHEDULED,
                started_at=NOW,
                outcome=Outcome(state=State.UP, total_us=1234, status_code=200),
            )
            for n in range(120)
        ]
    )
    assert len(queries(browser, address)) == len(few)
    text = browser.get(address).content.decode()
    assert text.count("<tr><td>2026-11-23") == 100 + 1  # a transition, too
    # The unit stands beside the figure: in the heading, in capitals, µs would read as MS.
    assert text.count("<td>1.2 ms</td>") == 100
    assert "µs" not in text
    older = text.split('<a href="?cursor=')[1].split('"')[0]
    text = browser.get(f"{address}?cursor={older}").content.decode()
    assert text.count("<tr><td>2026-11-23") == 21 + 1
    assert browser.get(f"{address}?cursor=nonsense").status_code == 404
    assert browser.get("/admin/domains/domain/999999999999999999999999/results/").status_code == 404


def test_lists_end_where_counting_does(
    make_domain: MakeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MOST_LISTED", 2)
    for _ in range(2):
        make_domain()
    browser = signed_in("read")
    text = browser.get(page(Domain, "changelist")).content.decode()
    assert "2 domains" in text
    make_domain()
    text = browser.get(page(Domain, "changelist")).content.decode()
    assert "the first 2; narrow the list" in text


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (Batch, "progress=open"),
        (Batch, "kind=manual"),
        (Batch, "location=local"),
        (DomainState, "state=up"),
        (DomainState, "location=nowhere"),
        (DomainState, "q=domain+1"),
        (Transition, "state=up"),
        (Transition, "q=1"),
        (AuditEntry, "object_kind__exact=domain"),
        (AuditEntry, "actor_kind__exact=command"),
        (AuditEntry, "q=operator"),
        (AuditEntry, "q=1"),
        (User, "is_active__exact=1"),
        (Location, "q=loc"),
    ],
)
def test_lists_are_narrowed(rows: Callable[[int], None], model: Any, query: str) -> None:
    rows(2)
    browser = signed_in("admin")
    assert browser.get(f"{page(model, 'changelist')}?{query}").status_code == 200


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (User, "password__startswith=pbkdf2"),
        (User, "username__regex=("),
        (User, "is_active=1"),
        (ApiKey, "name__regex=("),
        (ApiKey, "digest__startswith=a"),
        (ApiKey, "replaces__digest__startswith=a"),
        (AuditEntry, "object_id__gt=1"),
        (Domain, "name__regex=("),
        (Domain, "sealed_headers__startswith=a"),
        (Domain, "location=%00"),
        (Batch, "location=%00"),
        (DomainState, "state=%00"),
        (Transition, "domain__name__startswith=a"),
        (Transition, "_to_field=detail"),
    ],
)
def test_a_list_is_narrowed_by_what_it_offers_and_no_other(model: Any, query: str) -> None:
    browser = signed_in("admin")
    answer = browser.get(f"{page(model, 'changelist')}?{query}")
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("text/html")
    assert "This address leads nowhere" in answer.content.decode()


def test_no_address_and_no_row_of_nonsense_is_a_failure() -> None:
    browser = signed_in("admin")
    assert browser.get("/admin/monitoring/workerpulse/%00/change/").status_code == 400
    form = {"action": "pause", "_selected_action": "x", "index": "0"}
    answer = browser.post(page(Domain, "changelist"), form)
    assert answer.status_code == 400
    assert "&#x27;x&#x27; is no row" in answer.content.decode()


def test_the_history_of_a_row_is_in_the_audit(make_domain: MakeDomain) -> None:
    domain = make_domain()
    address = page(Domain, "history", domain.pk)
    assert signed_in("write").get(address).status_code == 403
    response = signed_in("admin").get(address, follow=True)
    assert response.status_code == 200
    assert "domain.created" in response.content.decode()


def test_the_list_of_the_audit_names_some_fields_of_a_row_and_no_column_of_all() -> None:
    fields = {f"field_{number}": 1 for number in range(9)}
    entry = AuditEntry.objects.create(
        at=NOW,
        actor_kind="user",
        actor_name="ada",
        action="domain.created",
        object_kind="domain",
        object_id=17,
        after=fields,
    )
    browser = signed_in("admin")
    listed = browser.get(page(AuditEntry, "changelist")).content.decode()
    assert "field_0, field_1, field_2, field_3 and 5 more" in listed
    assert "user ada" in listed
    assert "domain 17" in listed
    shown = browser.get(page(AuditEntry, "change", entry.pk)).content.decode()
    assert "field_8" in shown


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/domains/domain/999/change/"])
def test_a_page_has_an_icon_of_ours(address: str) -> None:
    # The browser asks for one at an address that has none, and complains, where none is named.
    answer = signed_in("read").get(address, follow=True)
    assert '<link rel="icon" href="/static/ninja/favicon' in answer.content.decode()


def test_a_browser_fills_nobody_s_password_into_a_domain() -> None:
    form = signed_in("write").get(page(Domain, "add")).content.decode()
    (name,) = re.findall(r'<input [^>]*name="auth_username"[^>]*>', form)
    (secret,) = re.findall(r'<input [^>]*name="secret"[^>]*>', form)
    assert 'autocomplete="off"' in name
    assert 'autocomplete="new-password"' in secret


def test_the_audit_of_a_number_is_found_by_an_index(make_domain: MakeDomain) -> None:
    domain = make_domain()
    plans: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "COUNT(*)" in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off")  # of the few rows here
                plans.append(str(cursor.execute(f"EXPLAIN {sql}", params).fetchall()))
        return execute(sql, params, many, context)

    browser = signed_in("admin")
    with connection.execute_wrapper(look):
        text = browser.get(f"{page(AuditEntry, 'changelist')}?q={domain.pk}").content.decode()
    assert "domain.created" in text
    (plan,) = plans
    assert "auditentry_object" in plan
