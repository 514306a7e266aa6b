"""``sentinel users``: who may sign in to the pages."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from sentinel.environment import read_environment

USAGE: Final = 2

users = typer.Typer(
    no_args_is_help=True,
    help="Make and change the users who may sign in. Exit status 2: refused, or no database.",
)

_MOST_PASSWORD_CHARS: Final = 1024

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


@users.command()
def create(
    name: Name,
    scope: Annotated[
        str,
        typer.Option(
            metavar="SCOPE",
            help="read: sees everything but keys, users and the audit; write: also changes "
            "domains; admin: also keys, users and the audit.",
        ),
    ] = "read",
) -> None:
    """Make a user. The password is asked for, or read from standard input."""
    with _acting():
        from domains.audit import OPERATOR  # noqa: PLC0415 - once Django is ready, here and below
        from domains.clock import database_now  # noqa: PLC0415
        from sentinel.access.users import create_user  # noqa: PLC0415

        password = _password()
        user = create_user(name, scope=scope, password=password, by=OPERATOR, now=database_now())
        typer.echo(f"There is a user {user.get_username()} of the scope {scope} now.")


@users.command("list")
def list_users() -> None:
    """List the users: name, scope, whether they can sign in, when they last did."""
    with _acting():
        from django.contrib.auth.models import User  # noqa: PLC0415

        from sentinel.access.permissions import scope_of  # noqa: PLC0415

        for user in User.objects.order_by("username").prefetch_related("groups"):
            state = "enabled" if user.is_active else "disabled"
            last = f"{user.last_login:%Y-%m-%dT%H:%M:%SZ}" if user.last_login else "never"
            typer.echo(f"{user.get_username()}\t{scope_of(user) or 'none'}\t{state}\t{last}")


@users.command()
def disable(name: Name) -> None:
    """Shut a user out; sessions that are open end at once."""
    _enable(name, enabled=False)


@users.command()
def enable(name: Name) -> None:
    """Let a user in again."""
    _enable(name, enabled=True)


@users.command()
def password(name: Name) -> None:
    """Give a user another password, asked for or read from standard input."""
    with _acting():
        from domains.audit import OPERATOR  # noqa: PLC0415
        from domains.clock import database_now  # noqa: PLC0415
        from sentinel.access.users import find_user, set_password  # noqa: PLC0415

        user = find_user(name)
        set_password(user, _password(), by=OPERATOR, now=database_now())
        typer.echo(f"{user.get_username()} has a new password; sessions that were open are over.")


def _enable(name: str, *, enabled: bool) -> None:
    with _acting():
        from domains.audit import OPERATOR  # noqa: PLC0415
        from domains.clock import database_now  # noqa: PLC0415
        from sentinel.access.users import change_user, find_user  # noqa: PLC0415

        user = find_user(name)
        change_user(user, enabled=enabled, by=OPERATOR, now=database_now())
        can = "can sign in" if enabled else "cannot sign in any more"
        typer.echo(f"{user.get_username()} {can}.")


def _password() -> str:
    """Return a password from the terminal, typed twice, or the first line of standard input."""
    if not sys.stdin.isatty():
        given = sys.stdin.readline(_MOST_PASSWORD_CHARS).rstrip("\r\n")
        if not given:
            from sentinel.access.users import UserRefused  # noqa: PLC0415

            raise UserRefused("password", "standard input has none: give it as its first line")
        return given
    first = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != first:
        raise SystemExit("Sentinel: the two passwords differ: run this again.")
    return first


@contextmanager
def _acting() -> Iterator[None]:
    """Make Django ready; turn what is refused into one sentence."""
    read_environment()
    import django  # noqa: PLC0415 - only once the environment is known to make sense

    django.setup()
    from django.db import DatabaseError  # noqa: PLC0415

    from sentinel.access.users import UserRefused  # noqa: PLC0415
    from sentinel.no_database import words_of  # noqa: PLC0415

    try:
        yield
    except UserRefused as error:
        typer.echo(f"Sentinel: {error.field}: {error}", err=True)
    except DatabaseError as error:
        typer.echo(f"Sentinel: {words_of(error)}", err=True)
    else:
        return
    raise typer.Exit(USAGE)
