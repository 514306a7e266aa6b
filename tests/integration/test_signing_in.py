"""Signing in to the pages: passwords, sessions, cookies, CSRF, and how often one may try."""

import re
import secrets
import subprocess
import sys
from ipaddress import ip_network
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from domains.audit import OPERATOR, AuditEntry
from sentinel.access import signing_in
from sentinel.access.users import change_user, set_password
from sentinel.throttling import Throttle
from tests.conftest import KEY, NOW
from tests.integration.signing_in import PASSWORD, make_user

pytestmark = pytest.mark.django_db

SIGN_IN = "/admin/login/"
SESSION = settings.SESSION_COOKIE_NAME
CSRF = settings.CSRF_COOKIE_NAME


def somewhere(**options: Any) -> Client:
    """Return a browser where nobody has tried from: attempts are counted for minutes."""
    network = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    return Client(REMOTE_ADDR=f"{network}::1", **options)


def try_to(browser: Client, name: str = "ada", password: str = PASSWORD, **extra: Any) -> Any:
    return browser.post(SIGN_IN, {"username": name, "password": password}, **extra)


def test_nobody_can_sign_in_unless_somebody_was_made() -> None:
    assert not User.objects.exists()
    response = somewhere().get("/admin/domains/domain/")
    assert response.status_code == 302
    assert response["Location"].startswith(SIGN_IN)


def test_the_password_opens_the_admin_and_signing_out_closes_it() -> None:
    make_user()
    browser = somewhere()
    assert try_to(browser).status_code == 302
    assert browser.get("/admin/").status_code == 200
    browser.post("/admin/logout/")
    assert browser.get("/admin/").status_code == 302
    assert not Session.objects.exists()


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_one_does_not_and_says_not_which(name: str, password: str) -> None:
    make_user()
    response = try_to(somewhere(), name, password)
    assert response.status_code == 200
    assert SESSION not in response.cookies
    assert password not in response.content.decode() or not password


def test_cookies_are_for_our_pages_alone() -> None:
    make_user()
    browser = somewhere()
    response = try_to(browser)
    for name in (SESSION, CSRF):
        cookie = response.cookies[name]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["secure"]
    assert response.cookies[SESSION]["max-age"] == 12 * 3600


def test_two_clusters_on_one_host_leave_each_other_their_cookies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def names(key: str) -> list[str]:
        monkeypatch.setenv("SENTINEL_SECRET_KEY", key)
        program = (
            "from sentinel import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME)"
        )
        argv = [sys.executable, "-c", program]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

    one, other = names("a" * 50), names("b" * 50)
    assert len({*one, *other}) == 4
    assert names("a" * 50) == one  # on each of its hosts, and after a restart


@override_settings(SESSION_COOKIE_SECURE=True, CSRF_COOKIE_SECURE=True)
def test_cookies_are_for_https_alone_where_it_is_used() -> None:
    make_user()
    response = try_to(somewhere(), secure=True)
    assert response.cookies[SESSION]["secure"]
    assert response.cookies[CSRF]["secure"]


def test_a_form_from_elsewhere_is_refused_on_a_page() -> None:
    make_user()
    browser = somewhere(enforce_csrf_checks=True)
    response = try_to(browser)
    assert response.status_code == 403
    assert response["Content-Type"].startswith("text/html")
    page = browser.get(SIGN_IN).content.decode()
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
    form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
    elsewhere = {"Origin": "https://evil.example"}
    assert browser.post(SIGN_IN, form, headers=elsewhere).status_code == 403
    proxied = {"Origin": "https://sentinel.example.org"}
    assert browser.post(SIGN_IN, form, headers=proxied).status_code == 403
    with override_settings(CSRF_TRUSTED_ORIGINS=["https://sentinel.example.org"]):
        behind = somewhere(enforce_csrf_checks=True)  # which reads the setting once
        behind.cookies = browser.cookies
        assert behind.post(SIGN_IN, form, headers=proxied).status_code == 302


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Origin": "https://canary.example"}, "Origin checking failed"),
        ({"Referer": "https://canary.example/?k=canary"}, "Referer checking failed"),
        ({"Referer": "https://[canary"}, "Referer checking failed"),
        ({"Referer": "https://testserver/"}, "CSRF cookie not set."),
    ],
)
def test_a_form_that_is_refused_is_logged_without_what_it_was_sent_with(
    headers: dict[str, str], reason: str
) -> None:
    with capture_logs() as lines:
        response = try_to(somewhere(enforce_csrf_checks=True), headers=headers, secure=True)
    assert response.status_code == 403
    refused = [line for line in lines if line["event"] == "form refused"]
    assert [line["reason"] for line in refused] == [reason]
    assert "canary" not in str(lines)


def test_a_key_needs_no_token_and_gets_no_cookie(client: Client) -> None:
    browser = Client(
        headers={
            "Authorization": f"Bearer {KEY}",
            "Cookie": f"{SESSION}=" + "x" * 32,
        },
        enforce_csrf_checks=True,
    )
    body = '{"name": "a", "url": "http://example.org/"}'
    made = browser.post("/api/domains/", body, content_type="application/json")
    assert made.status_code == 201
    with CaptureQueriesContext(connection) as captured:
        response = browser.get("/api/domains/")
    assert response.status_code == 200
    assert not [one for one in captured if "session" in one["sql"] or '"auth_user"' in one["sql"]]
    for answer in (made, response):
        assert not answer.cookies
        assert "Cookie" not in answer.get("Vary", "")


def test_attempts_are_bounded_and_others_are_not_shut_out() -> None:
    make_user()
    browser = somewhere()
    for _ in range(5):
        assert try_to(browser, password="wrong").status_code == 200
    response = try_to(browser)
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 60
    assert "try again in" in response.content.decode()
    # From somewhere else, and other names from here, still.
    assert try_to(somewhere()).status_code == 302
    assert try_to(browser, "grace").status_code == 200


def test_attempts_from_one_address_are_bounded_whatever_the_names() -> None:
    network = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::/64"
    statuses = [signing_in.login_allowed(network, f"name {number}") for number in range(22)]
    assert statuses[:20] == [None] * 20
    assert all(seconds is not None for seconds in statuses[20:])
    assert signing_in.login_allowed(f"elsewhere {network}", "name 1") is None


def test_what_was_typed_is_nowhere_in_redis() -> None:
    try_to(somewhere(), "hunter2-in-the-wrong-field", "hunter2-too")
    with redis.from_url(settings.REDIS_URL) as server:
        keys = list(server.scan_iter("sentinel:limit*"))
        assert len(keys) >= 2
        for key in keys:
            assert b"hunter2" not in key


def test_without_redis_one_can_sign_in_and_guess_no_more_than_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_user()
    gone = Throttle("redis://127.0.0.1:1/0")
    monkeypatch.setattr(signing_in, "throttle", lambda: gone)
    browser = somewhere()
    for _ in range(5):
        assert try_to(browser, password="wrong").status_code == 200
    response = try_to(browser)
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 60
    assert gone.is_away
    assert try_to(somewhere()).status_code == 302


@pytest.mark.parametrize(("proxies", "said"), [((), 1), (("2001:db8::/32",), 0)])
def test_a_proxy_that_nobody_named_is_told_of_where_it_shuts_people_out(
    proxies: tuple[str, ...], said: int
) -> None:
    browser = somewhere(headers={"X-Forwarded-For": "192.0.2.1"})
    trusted = [ip_network(each) for each in proxies]
    client = f"2001:db8:{secrets.token_hex(2)}::1"
    with override_settings(SENTINEL_TRUSTED_PROXIES=trusted), capture_logs() as lines:
        for _ in range(6):
            answer = try_to(browser, headers={"X-Forwarded-For": client})
    assert answer.status_code == 429
    warnings = [line for line in lines if "SENTINEL_TRUSTED_PROXIES" in line["event"]]
    assert len(warnings) == said


def test_who_is_shut_out_is_out_at_once() -> None:
    user = make_user()
    browser = somewhere()
    browser.force_login(user)
    change_user(user, enabled=False, by=OPERATOR, now=NOW)
    assert browser.get("/admin/").status_code == 302
    assert try_to(somewhere()).status_code == 200


def test_a_new_password_ends_the_sessions_of_the_old() -> None:
    user = make_user()
    browser = somewhere()
    browser.force_login(user)
    set_password(user, "another-horse-of-9", by=OPERATOR, now=NOW)
    assert browser.get("/admin/").status_code == 302
    assert AuditEntry.objects.latest("pk").after == {"password": "********"}


def test_users_change_their_own_password() -> None:
    user = make_user()
    browser = somewhere()
    browser.force_login(user)
    new = "another-horse-of-9"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert browser.post("/admin/password_change/", form).status_code == 302
    assert browser.get("/admin/").status_code == 200
    user.refresh_from_db()
    assert user.check_password(new)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.actor_kind, entry.actor_id) == ("user.changed", "user", user.pk)


def test_who_has_a_session_cannot_guess_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Throttle(settings.REDIS_URL, prefix=f"test:{secrets.token_hex(8)}")
    monkeypatch.setattr(signing_in, "throttle", lambda: fresh)
    user = make_user()
    browser = somewhere()
    browser.force_login(user)
    new = "another one of 30 characters!!"
    form = {"old_password": "wrong", "new_password1": new, "new_password2": new}
    for _ in range(5):
        page = browser.post("/admin/password_change/", form).content.decode()
        assert "Too many attempts" not in page
    page = browser.post(
        "/admin/password_change/", {**form, "old_password": PASSWORD}
    ).content.decode()
    assert "Too many attempts: try again in" in page
    user.refresh_from_db()
    assert not user.check_password(new)


def test_sessions_that_are_over_do_not_pile_up() -> None:
    user = make_user()
    somewhere().force_login(user)
    Session.objects.update(expire_date=NOW.replace(year=2020))
    try_to(somewhere())
    assert Session.objects.count() == 1


@pytest.mark.parametrize("path", ["/admin/nothing/", "/admin/domains/domain/1/nothing/"])
def test_what_is_not_there_is_a_page(path: str) -> None:
    browser = somewhere()
    browser.force_login(make_user())
    response = browser.get(path)
    assert response.status_code in (302, 404)
    assert response["Content-Type"].startswith("text/html")


def test_without_a_slash_it_is_found_too() -> None:
    assert somewhere().get("/admin")["Location"] == "/admin/"
