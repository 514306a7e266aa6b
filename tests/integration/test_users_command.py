"""``sentinel users``: who may sign in, from the command line."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from typer.testing import CliRunner

from domains.audit import AuditEntry
from sentinel.cli import app
from tests.integration.signing_in import PASSWORD

pytestmark = pytest.mark.django_db


def run(*words: str, typed: str = f"{PASSWORD}\n") -> Any:
    return CliRunner().invoke(app, ["users", *words], input=typed)


def test_a_user_is_made_with_a_password_from_standard_input() -> None:
    done = run("create", "ada", "--scope", "admin")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    user = User.objects.get()
    assert user.check_password(PASSWORD)
    assert (user.is_staff, user.is_superuser) == (True, False)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_kind) == ("user.created", "command")
    assert run("list").output.startswith("ada\tadmin\tenabled\tnever")


@pytest.mark.parametrize(
    ("words", "typed", "cure"),
    [
        (("create", "ada", "--scope", "root"), f"{PASSWORD}\n", "give one of read, write, admin"),
        (("create", "ada"), "short\n", "too short"),
        (("create", "ada"), "", "standard input has none"),
        (("create", "a b"), f"{PASSWORD}\n", "valid username"),
        (("disable", "nobody"), "", "there is no user nobody"),
        (("password", "nobody"), f"{PASSWORD}\n", "there is no user nobody"),
    ],
)
def test_what_makes_no_user_is_one_sentence(words: tuple[str, ...], typed: str, cure: str) -> None:
    done = run(*words, typed=typed)
    assert done.exit_code == 2
    assert cure in str(done.exception) + done.output
    assert not User.objects.exists()


def test_a_user_is_shut_out_let_in_and_given_a_password() -> None:
    run("create", "ada")
    assert run("disable", "ada").exit_code == 0
    assert not User.objects.get().is_active
    assert "disabled" in run("list").output
    assert run("enable", "ada").exit_code == 0
    assert User.objects.get().is_active
    assert run("password", "ada", typed="another-horse-of-9\n").exit_code == 0
    assert User.objects.get().check_password("another-horse-of-9")
    assert AuditEntry.objects.count() == 4
