"""``sentinel keys``: API keys where Sentinel runs, for when no admin key is at hand, too."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sentinel.environment import read_environment

if TYPE_CHECKING:
    from sentinel.access.models import ApiKey

USAGE: Final = 2
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST: Final = timedelta(days=30)

keys = typer.Typer(
    no_args_is_help=True,
    help="Make, list, rotate and revoke API keys. Exit status 2: refused, or no database.",
)

AsJson = Annotated[bool, typer.Option("--json", help="As the API has it.")]
Which = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name.")]


class Refused(ValueError):  # noqa: N818 - wrong usage, answered as such
    """An argument that makes no sense; the words say what would."""


@keys.command("list")
def list_keys(
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="live, expired or revoked; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the keys, without what they consist of."""
    with _database() as now:
        from sentinel.access.services import page_of_keys  # noqa: PLC0415

        if state not in (None, "live", "expired", "revoked"):
            raise Refused(f"--state {state} is no state: write live, expired or revoked")
        found: list[ApiKey] = []
        cursor: str | None = None
        while True:
            page, cursor = page_of_keys(state=state, cursor=cursor, limit=1000, now=now)
            found += page
            if cursor is None:
                break
        if as_json:
            _print_json([_shown(key, now=now) for key in found])
        else:
            _print_table(found, now=now)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE", help="read, write (holds read) or admin (holds both); default: read."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Such as 90d, 12h or 2027-01-01T00:00:00Z; else never."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it: alone on the standard output, and never again."""
    with _database() as now:
        from pydantic import ValidationError  # noqa: PLC0415

        from domains.audit import OPERATOR  # noqa: PLC0415
        from sentinel.access.schemas import KeyIn  # noqa: PLC0415
        from sentinel.access.services import create_key  # noqa: PLC0415

        fields = {"name": name, "expires_at": None if expires is None else _end(expires, now=now)}
        try:
            given = KeyIn.model_validate({**fields, **({"scopes": scope} if scope else {})})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            words = first["msg"].removeprefix("Value error, ")
            raise Refused(_of_option(str(first["loc"][0]), words)) from None
        key, text = create_key(
            name=given.name,
            scopes=given.scopes,
            expires_at=given.expires_at,
            by=OPERATOR,
            now=now,
        )
        _print_made(key, text, now=now, as_json=as_json)


@keys.command()
def rotate(
    which: Which,
    overlap: Annotated[
        str,
        typer.Option(metavar="SPAN", help="How long the key that was lives on: 0, 90s, 12h, 7d."),
    ] = "1d",
    as_json: AsJson = False,
) -> None:
    """Make a key of the same name, scopes and lifetime, and print it; the present one expires."""
    with _database() as now:
        from domains.audit import OPERATOR  # noqa: PLC0415
        from sentinel.access.services import rotate_key  # noqa: PLC0415

        span = _span(overlap) if overlap != "0" else timedelta(0)
        if span is None or span > _LONGEST:
            raise Refused(f"--overlap {overlap} is no span up to 30d: write one such as 12h")
        old, key, text = rotate_key(_id_of(which), overlap=span, by=OPERATOR, now=now)
        _print_made(key, text, now=now, as_json=as_json)
        typer.echo(f"Key {old.pk} expires at {_instant(old.expires_at)}.", err=True)


@keys.command()
def revoke(which: Which, as_json: AsJson = False) -> None:
    """Let a key open nothing from now on, for good: also the last that can make others."""
    with _database() as now:
        from domains.audit import OPERATOR  # noqa: PLC0415
        from sentinel.access.services import admin_keys, revoke_key  # noqa: PLC0415

        key = revoke_key(_id_of(which), by=OPERATOR, now=now, spare_admin=False)
        if as_json:
            _print_json(_shown(key, now=now))
        else:
            typer.echo(f"Key {key.pk} ({key.name}) is revoked.")
        if not admin_keys(until=now).exists():
            words = (
                "no lasting admin key is left: `sentinel keys create NAME --scope admin` makes one"
            )
            typer.echo(f"Sentinel: {words}.", err=True)


@contextmanager
def _database() -> Iterator[datetime]:
    """Make Django ready, and give the database's time; say in a sentence what goes wrong."""
    try:
        read_environment()
        import django  # noqa: PLC0415 - only once the environment is known to make sense

        django.setup()
    except SystemExit as error:
        typer.echo(error.code, err=True)
        raise typer.Exit(USAGE) from None
    from django.db import DatabaseError, InterfaceError  # noqa: PLC0415

    from domains.clock import database_now  # noqa: PLC0415
    from domains.rules import FieldsRefused  # noqa: PLC0415
    from sentinel.access.conflicts import KeyConflict, KeyNotFound  # noqa: PLC0415
    from sentinel.no_database import words_of  # noqa: PLC0415

    try:
        yield database_now()
    except FieldsRefused as error:
        words = "; ".join(
            _of_option(where.removeprefix("#/"), cure) for where, cure in error.errors
        )
    except (Refused, KeyConflict, KeyNotFound) as error:
        words = str(error)
    except (DatabaseError, InterfaceError) as error:
        words = words_of(error)
    else:
        return
    typer.echo(f"Sentinel: {words}", err=True)
    raise typer.Exit(USAGE)


def _of_option(field: str, words: str) -> str:
    """Return what the API says of a field as it holds for the option that gives it."""
    option = {"name": "NAME", "scopes": "--scope", "expires_at": "--expires"}.get(field, field)
    return f"{option}: {words.replace('be null for never', 'be left out for never')}"


def _id_of(which: str) -> int:
    """Return the id of a key by that, or by the name it has now."""
    from sentinel.access.conflicts import KeyNotFound  # noqa: PLC0415
    from sentinel.access.models import ApiKey  # noqa: PLC0415

    number = int(which) if re.fullmatch(r"[0-9]{1,18}", which) else None
    if number is not None and ApiKey.objects.filter(pk=number).exists():
        return number
    named = ApiKey.objects.filter(name=which, revoked_at=None, rotated_at=None)
    found = named.values_list("pk", flat=True).first()
    if found is not None:
        return found
    if number is not None:
        raise KeyNotFound(number)
    raise Refused(f"no key has the name {which!r}: see `sentinel keys list`")


def _span(text: str) -> timedelta | None:
    found = _SPAN.fullmatch(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def _end(text: str, *, now: datetime) -> datetime:
    if span := _span(text):
        try:
            return now + span
        except OverflowError:
            pass
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Refused(
        f"--expires {text} is neither a span such as 90d nor an instant with a time zone such as "
        "2027-01-01T00:00:00Z"
    )


def _shown(key: "ApiKey", *, now: datetime) -> dict[str, Any]:
    from sentinel.access.schemas import key_out  # noqa: PLC0415

    return key_out(key, now=now)


def _print_json(value: Any) -> None:
    from pydantic_core import to_json  # noqa: PLC0415 - as the API writes it

    typer.echo(to_json(value).decode())


def _print_made(key: "ApiKey", text: str, *, now: datetime, as_json: bool) -> None:
    if as_json:
        _print_json({**_shown(key, now=now), "key": text})
        return
    until = "" if key.expires_at is None else f", until {_instant(key.expires_at)}"
    words = f"Key {key.pk} ({key.name}) with {', '.join(key.scopes)}{until}; it is shown once:"
    typer.echo(words, err=True)
    typer.echo(text)


def _print_table(found: Iterable["ApiKey"], *, now: datetime) -> None:
    rows = [("ID", "NAME", "PREFIX", "SCOPES", "STATE", "EXPIRES", "LAST USED")]
    for key in found:
        ends, used = _instant(key.expires_at), _instant(key.last_used_at)
        scopes = ",".join(key.scopes)
        rows.append(
            (str(key.pk), key.name, key.prefix, scopes, key.state(now=now), ends, used),
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _instant(instant: datetime | None) -> str:
    return "-" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
