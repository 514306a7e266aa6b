"""Users of each scope, and browsers in which they are signed in."""

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
