"""The admin's pages of domains: they do what the API does, and show no secret."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from domains.audit import AuditEntry
from domains.models import Domain, PastSchedule
from domains.request import MASK
from domains.secrets import unseal
from monitoring.models import Batch
from tests.conftest import MakeDomain
from tests.integration.signing_in import form_of, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/domains/domain/"
ADD = "/admin/domains/domain/add/"
SECRETS = ("header-hunter2", "body-hunter2", "token-hunter2")

FORM = {
    "name": "Orders",
    "url": "HTTPS://Shop.example/orders",
    "enabled": "on",
    "tags": "shop\r\nmoney, honest\r\n",
    "interval": "300",
    "timeout": "5",
    "locations": "local\r\nparis",
    "method": "POST",
    "headers": f"X-Tenant: 7\r\nX-Api-Key: {SECRETS[0]}",
    "body": json.dumps({"secret": SECRETS[1]}),
    "body_is_json": "on",
    "auth_type": "bearer",
    "auth_username": "",
    "secret": SECRETS[2],
    "ip_version": "ipv4",
    "follow_redirects": "on",
    "verify_tls": "on",
    "expected_status": "200-299, 401",
    "degraded_after": "0.5",
    "assertions": '[{"type": "status", "operator": "in", "value": "200-299"}]',
}


@pytest.fixture
def browser(db: None) -> Client:
    return signed_in("write")


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def test_what_a_form_registers_is_what_the_api_would(browser: Client, client: Client) -> None:
    response = browser.post(ADD, FORM)
    assert response.status_code == 302, errors(response)
    domain = Domain.objects.get()
    by_form = client.get(f"/api/domains/{domain.pk}").json()
    body = {
        "name": "Orders",
        "url": "https://shop.example/orders",
        "method": "POST",
        "headers": {"X-Tenant": "7", "X-Api-Key": SECRETS[0]},
        "body": {"secret": SECRETS[1]},
        "auth": {"type": "bearer", "token": SECRETS[2]},
        "ip_version": "ipv4",
        "interval": 300,
        "timeout": 5,
        "expected_status": "200-299,401",
        "degraded_after": 0.5,
        "assertions": [{"type": "status", "operator": "in", "value": "200-299"}],
        "locations": ["local", "paris"],
        "tags": ["shop", "money, honest"],
    }
    made = client.post("/api/domains/", json.dumps(body), content_type="application/json").json()
    differ = {name for name in made if made[name] != by_form[name]}
    assert differ <= {"id", "created_at", "updated_at", "links", "version"}
    assert unseal(domain.sealed_headers[1][1]) == SECRETS[0]
    assert json.loads(unseal(domain.sealed_body or "")) == {"secret": SECRETS[1]}

    by_user, by_key = AuditEntry.objects.filter(action="domain.created").order_by("pk")
    assert (by_user.actor_kind, by_user.actor_name) == ("user", "a-write")
    assert {**(by_user.after or {}), "id": 0} == {**(by_key.after or {}), "id": 0}
    assert not any(secret in str(by_user.after) for secret in SECRETS)


def test_what_was_not_touched_is_not_written(browser: Client) -> None:
    browser.post(ADD, FORM)
    domain = Domain.objects.get()
    before = Domain.objects.values().get()
    count = AuditEntry.objects.count()

    assert (
        browser.post(
            f"{LIST}{domain.pk}/change/", form_of(browser, f"{LIST}{domain.pk}/change/")
        ).status_code
        == 302
    )
    assert Domain.objects.values().get() == before
    assert AuditEntry.objects.count() == count


def test_a_change_is_the_fields_that_changed(browser: Client) -> None:
    browser.post(ADD, FORM)
    domain = Domain.objects.get()
    form = form_of(browser, f"{LIST}{domain.pk}/change/")
    Domain.objects.update(timeout=9)  # by somebody else, meanwhile
    form |= {"name": "Sales", "interval": "60", "headers": f"X-Api-Key: {MASK}"}
    response = browser.post(f"{LIST}{domain.pk}/change/", form)
    assert response.status_code == 302, errors(response)
    domain.refresh_from_db()
    assert (domain.name, domain.interval, domain.timeout) == ("Sales", 60, 9)
    assert [(name, unseal(value)) for name, value in domain.sealed_headers] == [
        ("X-Api-Key", SECRETS[0])
    ]
    entry = AuditEntry.objects.latest("pk")
    assert entry.action == "domain.changed"
    assert set(entry.after or {}) == {"name", "interval", "headers"}
    assert PastSchedule.objects.get().interval == 300


def test_secrets_are_taken_away_and_given_anew(browser: Client) -> None:
    browser.post(ADD, FORM)
    domain = Domain.objects.get()
    form = form_of(browser, f"{LIST}{domain.pk}/change/") | {
        "headers": "",
        "body": "plain\r\ntext",
        "auth_type": "basic",
        "auth_username": "ada",
        "secret": " spaced ",
    }
    del form["body_is_json"]
    response = browser.post(f"{LIST}{domain.pk}/change/", form)
    assert response.status_code == 302, errors(response)
    domain.refresh_from_db()
    assert domain.sealed_headers == []
    assert unseal(domain.sealed_body or "") == "plain\ntext"
    assert unseal(domain.sealed_credential or "") == " spaced "
    assert domain.auth_username == "ada"


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"name": ""}, "name", "required"),
        ({"name": "a\u202eb"}, "name", "control character"),
        ({"url": "ftp://example.org/"}, "url", "http or https"),
        ({"interval": "61"}, "interval", "multiple of 5"),
        ({"interval": "x"}, "interval", "whole number"),
        ({"timeout": "61"}, "timeout", "less than or equal to 60"),
        ({"locations": "Nowhere!"}, "locations", "lower-case"),
        ({"tags": "a\r\na"}, "tags", "twice"),
        ({"headers": "X Y: 1"}, "headers", "not a header"),
        ({"headers": "Connection: close"}, "headers", "leave it out"),
        ({"headers": "nothing"}, "headers", "no colon"),
        ({"headers": "A: 1\r\nA: 2"}, "headers", "second time"),
        ({"headers": f"X-New: {MASK}"}, "headers", "send the value itself"),
        ({"body": "{"}, "body", "not JSON"),
        ({"method": "GET"}, "body", "no body"),
        ({"secret": "two words"}, "secret", "without the word Bearer"),
        ({"auth_type": "basic", "auth_username": "a:b"}, "auth_username", "colon"),
        ({"degraded_after": "5"}, "degraded_after", "less than timeout"),
        ({"expected_status": "ok"}, "expected_status", "200-299"),
        ({"assertions": "{}"}, "assertions", "valid list"),
        ({"assertions": "["}, "assertions", "valid JSON"),
        ({"assertions": "[" * 50_000}, "assertions", "valid JSON"),
        ({"assertions": "[" * 900 + "]" * 900}, "assertions", "valid JSON"),
        ({"assertions": "1" * 5_000}, "assertions", "valid JSON"),
        ({"assertions": '[{"type": "colour"}]'}, "assertions", "0, type: "),
    ],
)
def test_what_the_api_refuses_is_refused_at_its_input(
    browser: Client, fields: dict[str, str], field: str, words: str
) -> None:
    response = browser.post(ADD, FORM | fields)
    assert words in " ".join(errors(response)[field])
    assert not Domain.objects.exists()
    page = response.content.decode()
    typed = [*SECRETS, *fields.get("headers", "").split(": ")[1:]]
    assert not [one for one in typed if len(one) > 8 and one != MASK and one in page]


def test_a_refused_form_shows_no_secret_and_cannot_lose_one(browser: Client) -> None:
    response = browser.post(ADD, FORM | {"interval": "61", "url": "http://u:url-hunter2@h/"})
    page = response.content.decode()
    assert "hunter2" not in page
    assert errors(response).keys() >= {"headers", "body", "secret", "interval"}
    again = {bound.html_name: bound.value() for bound in response.context["adminform"].form}
    again = {name: str(value) for name, value in again.items() if value not in (None, False)}
    # Sent back as it is, but for what was wrong: what is still to be typed is asked for.
    response = browser.post(ADD, again | {"interval": "60", "url": "http://h/"})
    assert set(errors(response)) == {"headers", "body", "secret"}
    assert not Domain.objects.exists()
    # And typed again, all is well.
    response = browser.post(
        ADD,
        again
        | {"interval": "60", "url": "http://h/"}
        | {name: FORM[name] for name in ("headers", "body", "secret")},
    )
    assert response.status_code == 302, errors(response)


def test_a_secret_is_not_turned_to_another_origin(browser: Client) -> None:
    browser.post(ADD, FORM)
    domain = Domain.objects.get()
    form = form_of(browser, f"{LIST}{domain.pk}/change/") | {"url": "https://evil.example/"}
    assert "another origin" in str(errors(browser.post(f"{LIST}{domain.pk}/change/", form))["url"])


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
def test_no_page_shows_a_secret(browser: Client, scope: str) -> None:
    browser.post(ADD, FORM)
    domain = Domain.objects.get()
    sealed = [value for _, value in domain.sealed_headers]
    sealed += [domain.sealed_body or "", domain.sealed_credential or ""]
    reader = signed_in(scope) if scope != "write" else browser
    pages = [LIST, f"{LIST}{domain.pk}/change/", f"{LIST}{domain.pk}/results/"]
    if scope == "admin":
        entry = AuditEntry.objects.get(action="domain.created")
        pages += ["/admin/domains/auditentry/", f"/admin/domains/auditentry/{entry.pk}/change/"]
    for page in pages:
        response = reader.get(page)
        assert response.status_code == 200, page
        text = response.content.decode()
        assert not [one for one in (*SECRETS, *sealed) if one in text], page
        assert "Orders" in text or "domain.created" in text


def test_a_domain_is_deleted_after_it_was_asked(browser: Client, make_domain: MakeDomain) -> None:
    domain = make_domain()
    page = browser.get(f"{LIST}{domain.pk}/delete/")
    assert page.status_code == 200
    assert Domain.objects.exists()
    assert browser.post(f"{LIST}{domain.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Domain.objects.exists()
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.actor_name) == ("domain.deleted", "a-write")


def act(browser: Client, action: str, domains: list[Domain], **more: str) -> Any:
    chosen = [str(domain.pk) for domain in domains]
    return browser.post(LIST, {"action": action, "_selected_action": chosen, **more}, follow=True)


def test_chosen_domains_are_paused_resumed_and_deleted(
    browser: Client, make_domain: MakeDomain
) -> None:
    domains = [make_domain() for _ in range(3)]
    assert "Paused 2." in act(browser, "pause", domains[:2]).content.decode()
    assert [one.enabled for one in Domain.objects.order_by("pk")] == [False, False, True]
    assert "Resumed 2." in act(browser, "resume", domains).content.decode()
    assert AuditEntry.objects.filter(action="domain.changed", actor_kind="user").count() == 4
    assert "Are you sure" in act(browser, "delete_selected", domains[:2]).content.decode()
    act(browser, "delete_selected", domains[:2], post="yes")
    assert Domain.objects.get() == domains[2]
    assert AuditEntry.objects.filter(action="domain.deleted", actor_kind="user").count() == 2


def test_chosen_domains_are_checked_at_once(
    browser: Client, make_domain: MakeDomain, django_capture_on_commit_callbacks: Any
) -> None:
    domains = [make_domain(locations=["local", "paris"]) for _ in range(2)]
    with django_capture_on_commit_callbacks(execute=True):
        assert "Asked for checks of 2." in act(browser, "check_now", domains).content.decode()
    batches = list(Batch.objects.all())
    assert [len(batch.domain_ids) for batch in batches] == [2, 2]  # one a location
    assert len({batch.run_id for batch in batches}) == 1
    assert all(batch.enqueued_at is not None for batch in batches)


def test_an_action_takes_no_more_than_a_request_can_bear(browser: Client) -> None:
    Domain.objects.bulk_create(
        Domain(name=f"d{n}", url=f"http://h/{n}", scheduled_since="2026-11-23T12:00:00Z")
        for n in range(1001)
    )
    some = list(Domain.objects.order_by("pk")[:2])
    page = act(browser, "pause", some, select_across="1").content.decode()
    assert "At most 1000 at once" in page
    assert not Domain.objects.filter(enabled=False).exists()


def test_domains_are_found(browser: Client, make_domain: MakeDomain) -> None:
    first, second = make_domain(name="Orders"), make_domain(name="100 % \0".strip("\0"))
    make_domain(locations=["paris"], enabled=False)

    def found(query: str) -> set[int]:
        response = browser.get(f"{LIST}?{query}")
        assert response.status_code == 200
        return {
            int(pk) for pk in re.findall(rf'href="{LIST}(\d+)/change/', response.content.decode())
        }

    assert found("q=orde") == {first.pk}
    assert found(f"q={second.pk}") >= {second.pk}
    assert found("q=%25") == {second.pk}
    assert browser.get(f"{LIST}?q=%00").status_code == 400
    third = make_domain(
        name="Pay", tags=["prod", "red team"], group="Shop", external_id="cmdb/47", enabled=False
    )
    for query in ("prod", "red+team", "Shop", "cmdb/47", "pay+prod", "cmdb/47+Shop"):
        assert found(f"q={query}") == {third.pk}, query
    for query in ("pro", "shop", "cmdb", "red", "pay+red+team"):
        assert found(f"q={query}") == set(), query
    third.delete()
    assert len(found("enabled__exact=0")) == 1
    assert len(found("location=paris")) == 1
    assert found("state=down") == set()
    assert len(found("state=unknown")) == 3
