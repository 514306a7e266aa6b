"""The ``sentinel`` command: the cluster as one, and each of its processes alone."""

import os
import sys
import time
from typing import Annotated, Final, NoReturn

import typer

from sentinel import processes
from sentinel.check_command import check
from sentinel.environment import Environment, read_environment
from sentinel.key_files import api_key
from sentinel.keys_command import keys
from sentinel.ports import check_port
from sentinel.users_command import users

DATABASE_WAIT_SECONDS: Final = 60.0

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Watch web services from the outside and keep an exact ledger of what was seen.",
)


def main() -> None:
    """Run the command line."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "sentinel.settings"
    _fill_standard_descriptors()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def _fill_standard_descriptors() -> None:
    """Open what is closed of 0, 1 and 2: a socket in their place would be written to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free, which is this one
    # Python has none of these where it found the descriptor closed.
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


@app.command()
def up() -> None:
    """Run the whole cluster on this machine until Ctrl-C."""
    environment = read_environment()
    try:
        from sentinel import cluster  # noqa: PLC0415 - its packages are absent in containers
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"Sentinel: 'sentinel up' needs the package {error.name}: "
            "install requirements-dev.txt, or run the processes one by one."
        ) from None
    cluster.up(environment)


@app.command()
def init() -> None:
    """Wait for the database, migrate it, store the API key; print the key where none was given."""
    environment = _begin()
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import OperationalError, connection  # noqa: PLC0415

    from domains.clock import database_now  # noqa: PLC0415
    from sentinel.access.bootstrap import store_bootstrap_key  # noqa: PLC0415

    deadline = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            connection.ensure_connection()
            break
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"Sentinel: the database of DATABASE_URL does not answer: {error}"
                ) from None
            time.sleep(0.5)
    call_command("migrate", interactive=False, verbosity=0)
    typer.echo("The database is migrated.")
    now = database_now()
    stored = store_bootstrap_key(api_key(environment), now=now)
    state = "rotated" if stored.rotated_at is not None else stored.state(now=now)
    if state != "live" or "admin" not in stored.scopes:
        scopes = ", ".join(stored.scopes)
        typer.echo(
            f"The API key given here is {state}, with the scopes {scopes}, and stays so: give "
            "another by SENTINEL_API_KEY, or make one with `sentinel keys create`."
        )
    elif environment.SENTINEL_API_KEY is None:
        typer.echo(f"API key: {api_key(environment)}")


@app.command("rotate-keys")
def rotate_keys() -> None:
    """Encrypt every stored secret anew with the first of SENTINEL_ENCRYPTION_KEYS."""
    _begin()
    from django.db import DatabaseError  # noqa: PLC0415

    from domains.rotation import rotate  # noqa: PLC0415
    from sentinel.no_database import words_of  # noqa: PLC0415

    try:
        done = rotate()
    except DatabaseError as error:
        raise SystemExit(
            f"Sentinel: {words_of(error)}. What was encrypted anew stays so: run this again."
        ) from None
    typer.echo(
        f"Encrypted anew with the first key: {done.renewed}. Already so: {done.current}. "
        f"Not decrypted by any key: {len(done.lost)}."
    )
    for domain_id, where in done.lost:
        typer.echo(f"domain {domain_id}: {where}")
    if done.lost:
        raise SystemExit(
            "Sentinel: some secrets cannot be decrypted: add the key they were encrypted with to "
            "SENTINEL_ENCRYPTION_KEYS and run this again, or send them anew by PATCH."
        )


@app.command("verify-ledger")
def verify_ledger(
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="RFC 3339; default: the first tick."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="WHEN", help="RFC 3339; default: now.")
    ] = None,
    location: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of one location; default: all.")
    ] = None,
) -> None:
    """Say whether every slot that was due has exactly its row; if not, print the first violation.

    The exit status is 0 where it has, 1 where not, 2 for wrong usage.
    """
    _begin()
    from django.core.management import CommandError, call_command  # noqa: PLC0415
    from django.db import DatabaseError  # noqa: PLC0415

    from sentinel.no_database import words_of  # noqa: PLC0415

    given = {"--from": start, "--to": end, "--location": location}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    try:
        call_command("verify_ledger", *options)
    except CommandError as error:
        typer.echo(f"Sentinel: {error}", err=True)
        raise SystemExit(error.returncode) from None
    except DatabaseError as error:
        typer.echo(f"Sentinel: {words_of(error)}", err=True)
        raise SystemExit(2) from None


@app.command()
def api() -> None:
    """Serve the API. Several may run side by side, each on a port of its own."""
    environment = read_environment()
    check_port(environment.SENTINEL_HOST, environment.SENTINEL_PORT, "SENTINEL_PORT")
    _become(processes.api(environment))


@app.command()
def worker() -> None:
    """Run checks."""
    _become(processes.worker(read_environment()))


@app.command()
def control() -> None:
    """Run the sweeps that Beat starts. Several may run side by side."""
    _become(processes.control(read_environment()))


@app.command()
def beat() -> None:
    """Start a sweep at each tick. Several may run side by side."""
    _become(processes.beat(read_environment()))


@app.command()
def flower() -> None:
    """Serve Flower; where it can be reached from elsewhere, behind a password: the API key."""
    environment = read_environment()
    check_port(environment.SENTINEL_HOST, environment.FLOWER_PORT, "FLOWER_PORT")
    _become(processes.flower(environment, api_key=lambda: api_key(environment)))


app.command()(check)
app.add_typer(keys, name="keys")
app.add_typer(users, name="users")


def _begin() -> Environment:
    """Make Django ready for what a command does itself; return the environment."""
    environment = read_environment()
    import django  # noqa: PLC0415 - only once the environment is known to make sense

    django.setup()
    return environment


def _become(process: processes.Process) -> NoReturn:
    """Replace this process, so that signals reach the server itself."""
    os.environ.update(process.env)
    os.execv(process.argv[0], process.argv)  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main()
