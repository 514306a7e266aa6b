"""Users of each scope, and browsers in which they are signed in."""

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from domains.audit import OPERATOR
from sentinel.access.users import create_user
from tests.conftest import NOW

PASSWORD = "a-horse-of-7-batteries"


def make_user(name: str = "ada", scope: str = "admin") -> User:
    return create_user(name, scope=scope, password=PASSWORD, by=OPERATOR, now=NOW)


def signed_in(scope: str) -> Client:
    """Return a browser of a new user of that scope."""
    browser = Client(raise_request_exception=False)
    browser.force_login(make_user(f"a-{scope}", scope))
    return browser


def form_of(browser: Client, address: str) -> dict[str, Any]:
    """Return what a browser would send back from a page's form, unchanged."""
    form = browser.get(address).context["adminform"].form
    data: dict[str, Any] = {}
    for bound in form:
        if not getattr(bound.field.widget, "render_value", True):
            continue  # a password, which no page shows
        value = bound.value()
        if bound.field.show_hidden_initial:
            data[bound.html_initial_name] = "" if value is None else str(value)
        if isinstance(value, bool):
            data |= {bound.html_name: "on"} if value else {}
        elif value is not None:
            data[bound.html_name] = str(value).replace("\n", "\r\n")
    return data
