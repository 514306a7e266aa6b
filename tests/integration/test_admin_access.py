"""The admin's pages of users and keys: what admins do there, also two of them at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client

from domains.audit import OPERATOR, AuditEntry
from domains.clock import database_now
from sentinel.access.bootstrap import store_bootstrap_key
from sentinel.access.models import ApiKey
from sentinel.access.permissions import scope_of
from sentinel.access.services import change_key, create_key, revoke_key
from sentinel.access.users import change_user, create_user
from tests.conftest import KEY, NOW
from tests.integration.locks import until, waiting_for_locks
from tests.integration.signing_in import PASSWORD, form_of, make_user, signed_in
from tests.integration.test_admin_pages import page

pytestmark = pytest.mark.django_db


def test_users_are_made_changed_and_shut_out_by_admins() -> None:
    browser = signed_in("admin")
    form = {"username": "grace", "scope": "read", "password": PASSWORD, "once_more": PASSWORD}
    assert browser.post(page(User, "add"), form).status_code == 302
    grace = User.objects.get(username="grace")
    assert grace.check_password(PASSWORD)
    assert (grace.is_staff, grace.is_superuser) == (True, False)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.actor_name) == ("user.created", "a-admin")
    assert entry.after == {"name": "grace", "scope": "read", "enabled": True}

    change = page(User, "change", grace.pk)
    assert PASSWORD not in browser.get(change).content.decode()
    assert grace.password not in browser.get(change).content.decode()
    form = form_of(browser, change)
    del form["enabled"]
    assert browser.post(change, form | {"scope": "write"}).status_code == 302
    grace = User.objects.get(username="grace")
    assert (grace.is_active, [group.name for group in grace.groups.all()]) == (False, ["write"])
    assert grace.check_password(PASSWORD)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.after) == ("user.changed", {"scope": "write", "enabled": False})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "short", "once_more": "short"}, "too short"),
        ({"password": "grace-grace-grace"}, "differ"),
        ({"username": "a-admin"}, "already"),
        ({"username": "A-ADMIN"}, "already"),
        ({"username": "two words"}, "valid username"),
        ({"scope": "root"}, "valid choice"),
    ],
)
def test_what_makes_no_user_is_refused(fields: dict[str, str], words: str) -> None:
    browser = signed_in("admin")
    form = {"username": "grace", "scope": "read", "password": PASSWORD, "once_more": PASSWORD}
    response = browser.post(page(User, "add"), form | fields)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert PASSWORD not in response.content.decode()
    assert User.objects.count() == 1


def test_nobody_shuts_themselves_out() -> None:
    browser = signed_in("admin")
    me = User.objects.get()
    change = page(User, "change", me.pk)
    response = browser.post(change, form_of(browser, change) | {"scope": "read"})
    assert "ask another" in response.content.decode()
    assert [group.name for group in User.objects.get().groups.all()] == ["admin"]


@pytest.mark.parametrize("taken", ["scope", "enabled"])
def test_an_open_page_gives_no_user_back_what_was_taken_meanwhile(taken: str) -> None:
    browser = signed_in("admin")
    grace = make_user("grace", "write")
    change = page(User, "change", grace.pk)
    form = form_of(browser, change)
    lost: Any = {"scope": "read"} if taken == "scope" else {"enabled": False}
    change_user(grace, **lost, by=OPERATOR, now=NOW)
    other = "another-horse-of-9"
    answer = browser.post(change, form | {"password": other, "once_more": other})
    assert answer.status_code == 302
    grace = User.objects.get(pk=grace.pk)
    assert grace.check_password(other)
    expected = ("read", True) if taken == "scope" else ("write", False)
    assert (scope_of(grace), grace.is_active) == expected


def test_a_form_that_is_refused_changes_no_password() -> None:
    browser = signed_in("admin")
    me = User.objects.get()
    change, other = page(User, "change", me.pk), "another-horse-of-9"
    form = form_of(browser, change) | {"scope": "read", "password": other, "once_more": other}
    assert "ask another" in browser.post(change, form).content.decode()
    assert User.objects.get().check_password(PASSWORD)
    assert not AuditEntry.objects.filter(action="user.changed").exists()


def test_a_user_of_djangos_own_command_is_an_admin_until_told_otherwise() -> None:
    browser = signed_in("admin")
    root = User.objects.create_superuser("root", password=PASSWORD)
    change = page(User, "change", root.pk)
    form = form_of(browser, change)
    assert form["scope"] == "admin"
    assert ">none<" not in browser.get(page(User, "changelist")).content.decode()
    browser.post(change, form | {"scope": "read"})
    root = User.objects.get(pk=root.pk)
    assert (scope_of(root), root.is_superuser) == ("read", False)
    their = Client()
    their.force_login(root)
    assert their.get(page(User, "changelist")).status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("names", [("grace", "grace"), ("grace", "Grace")])
def test_of_two_who_make_a_user_at_once_one_is_told(names: tuple[str, str]) -> None:
    browsers = []
    for number, _ in enumerate(names):
        browser = Client(raise_request_exception=False)
        browser.force_login(make_user(f"admin-{number}"))
        browsers.append(browser)

    def make(browser: Client, name: str) -> int:
        form = {"username": name, "scope": "read", "password": PASSWORD, "once_more": PASSWORD}
        try:
            return browser.post(page(User, "add"), form).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE auth_user IN SHARE ROW EXCLUSIVE MODE")
            made = [threads.submit(make, *pair) for pair in zip(browsers, names, strict=True)]
            until(lambda: waiting_for_locks() == 2, "both are about to write")
        # A page with the error, and a redirect.
        assert sorted(each.result(20) for each in made) == [200, 302]
    assert User.objects.filter(username__iexact="grace").count() == 1


def test_keys_show_no_digest() -> None:
    store_bootstrap_key(KEY, now=NOW)
    key = ApiKey.objects.get()
    browser = signed_in("admin")
    for address in (page(ApiKey, "changelist"), page(ApiKey, "change", key.pk)):
        text = browser.get(address).content.decode()
        assert KEY[:8] not in text
        assert bytes(key.digest).hex() not in text
        assert key.prefix in text


def test_a_user_of_the_command_line_can_sign_in() -> None:
    create_user("cli", scope="read", password=PASSWORD, by=OPERATOR, now=NOW)
    assert Client().login(username="cli", password=PASSWORD)


def made_key(response: Any) -> str:
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    return str(response.content.decode().split('<pre id="key">')[1].split("<")[0])


def opens(key: str) -> bool:
    return Client(headers={"X-API-Key": key}).get("/api/domains/").status_code == 200


def test_a_key_is_made_shown_once_rotated_and_revoked() -> None:
    browser = signed_in("admin")
    form = {"name": "deploy", "scopes": "read", "expires_at": "2199-01-01 12:00"}
    text = made_key(browser.post(page(ApiKey, "add"), form))
    key = ApiKey.objects.get()
    assert opens(text)
    assert (key.scopes, key.expires_at) == (["read"], datetime(2199, 1, 1, 12, tzinfo=UTC))
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.actor_name) == ("key.created", "a-admin")
    assert text not in str(Session.objects.values().get())
    assert text not in browser.get(page(ApiKey, "change", key.pk)).content.decode()
    assert "already" not in browser.post(page(ApiKey, "add"), form).content.decode()
    assert ApiKey.objects.count() == 1

    rotate = page(ApiKey, "rotate", key.pk)
    assert browser.get(rotate).status_code == 200
    other = made_key(browser.post(rotate, {"overlap": "0"}))
    assert (opens(other), opens(text)) == (True, False)
    again = browser.post(rotate, {"overlap": "0"}, follow=True).content.decode()
    assert "has expired" in again or "was rotated" in again

    revoke = page(ApiKey, "revoke", ApiKey.objects.latest("pk").pk)
    assert browser.get(revoke).status_code == 200
    assert opens(other)
    browser.post(revoke)
    assert not opens(other)
    assert AuditEntry.objects.latest("pk").action == "key.revoked"


def test_a_key_is_changed_by_the_fields_that_changed() -> None:
    browser = signed_in("admin")
    browser.post(page(ApiKey, "add"), {"name": "deploy", "scopes": "read"})
    key = ApiKey.objects.get()
    form = form_of(browser, page(ApiKey, "change", key.pk)) | {"scopes": "write"}
    assert browser.post(page(ApiKey, "change", key.pk), form).status_code == 302
    assert AuditEntry.objects.latest("pk").after == {"scopes": ["write"]}
    past = browser.post(page(ApiKey, "change", key.pk), form | {"expires_at": "2020-01-01 00:00"})
    assert "in the future" in past.content.decode()


@pytest.mark.parametrize("taken", ["scopes", "expires_at"])
def test_an_open_page_gives_no_key_back_what_was_taken_meanwhile(taken: str) -> None:
    now = database_now()
    key, _ = create_key(name="deploy", scopes=["write"], expires_at=None, by=OPERATOR, now=now)
    browser = signed_in("admin")
    change = page(ApiKey, "change", key.pk)
    form = form_of(browser, change)
    lost: Any = {"scopes": ["read"], "expires_at": now + timedelta(hours=1)}[taken]
    change_key(key.pk, {taken: lost}, by=OPERATOR, now=now)
    assert browser.post(change, form | {"name": "deployment"}).status_code == 302
    key = ApiKey.objects.get()
    assert (key.name, getattr(key, taken)) == ("deployment", lost)


def test_an_end_is_kept_to_the_microsecond_where_it_was_not_changed() -> None:
    end = database_now().replace(microsecond=123456) + timedelta(days=1)
    key, _ = create_key(name="x", scopes=["read"], expires_at=end, by=OPERATOR, now=NOW)
    browser = signed_in("admin")
    change = page(ApiKey, "change", key.pk)
    assert browser.post(change, form_of(browser, change) | {"name": "y"}).status_code == 302
    assert ApiKey.objects.get().expires_at == end


def test_a_key_that_was_revoked_is_only_looked_at() -> None:
    key, _ = create_key(name="deploy", scopes=["write"], expires_at=None, by=OPERATOR, now=NOW)
    browser = signed_in("admin")
    change = page(ApiKey, "change", key.pk)
    form = form_of(browser, change)
    revoke_key(key.pk, by=OPERATOR, now=NOW)
    answer = browser.post(change, form | {"name": "other"}, follow=True)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "was revoked: that is for good, make another" in text
    assert 'name="_save"' not in text
    assert ApiKey.objects.get().name == "deploy"


def test_the_last_admin_key_is_not_revoked() -> None:
    store_bootstrap_key(KEY, now=NOW)
    browser = signed_in("admin")
    key = ApiKey.objects.get()
    answer = browser.post(page(ApiKey, "revoke", key.pk), follow=True)
    assert "other admin key lasts as long" in answer.content.decode()
    assert ApiKey.objects.get().revoked_at is None


@pytest.mark.parametrize("way", ["rotate", "revoke"])
@pytest.mark.parametrize("scope", ["read", "write"])
def test_keys_are_for_admins(way: str, scope: str) -> None:
    store_bootstrap_key(KEY, now=NOW)
    address = page(ApiKey, way, ApiKey.objects.get().pk)
    browser = signed_in(scope)
    assert browser.get(address).status_code == 403
    assert browser.post(address, {"overlap": "0"}).status_code == 403
    assert opens(KEY)
