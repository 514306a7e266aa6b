"""The ``sentinel`` command: the cluster as one, and each of its processes alone."""

import ipaddress
import os
import sys
import time
from typing import Final, NoReturn

import typer

from sentinel.environment import Environment, read_environment, secret_from

DATABASE_WAIT_SECONDS: Final = 60.0

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Watch web services from the outside and keep an exact ledger of what was seen.",
)


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sentinel.settings")
    app()


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
    environment = read_environment()
    import django  # noqa: PLC0415 - only once the environment is known to make sense

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import OperationalError, connection  # noqa: PLC0415

    from domains.clock import database_now  # noqa: PLC0415
    from sentinel.access.keys import store_bootstrap_key  # noqa: PLC0415

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
    call_command("migrate", interactive=False, verbosity=1)
    store_bootstrap_key(_api_key(environment), now=database_now())
    if environment.SENTINEL_API_KEY is None:
        typer.echo(f"API key: {_api_key(environment)}")


@app.command()
def api() -> None:
    """Serve the API."""
    environment = read_environment()
    host = environment.SENTINEL_HOST
    bind = f"[{host}]" if ":" in host else host
    _become(
        "gunicorn",
        "sentinel.wsgi",
        *("--bind", f"{bind}:{environment.SENTINEL_PORT}"),
        *("--workers", "2", "--threads", "4", "--worker-class", "gthread"),
        *("--graceful-timeout", "8", "--timeout", "30", "--log-level", "warning"),
        *("--no-control-socket",),
    )


@app.command()
def worker() -> None:
    """Run checks."""
    read_environment()
    _become(
        "celery",
        *(
            "--quiet",
            "--app",
            "sentinel.celery",
            "worker",
            "--hostname",
            "worker@%h",
            "--loglevel",
            "INFO",
        ),
        *("--task-events", "--without-gossip", "--without-mingle"),
    )


@app.command()
def beat() -> None:
    """Start a sweep at each tick. Several may run side by side."""
    read_environment()
    _become(
        "celery",
        "--quiet",
        "--app",
        "sentinel.celery",
        "beat",
        "--pidfile",
        "",
        "--loglevel",
        "INFO",
    )


@app.command()
def flower() -> None:
    """Serve Flower; where it can be reached from elsewhere, behind a password: the API key."""
    environment = read_environment()
    if not _is_loopback(environment.SENTINEL_HOST):
        # By the environment: a command line can be read by every user of the machine.
        os.environ["FLOWER_BASIC_AUTH"] = f"sentinel:{_api_key(environment)}"
    _become(
        "celery",
        *("--app", "sentinel.celery", "flower"),
        f"--address={environment.SENTINEL_HOST}",
        f"--port={environment.FLOWER_PORT}",
    )


def _api_key(environment: Environment) -> str:
    from django.conf import settings  # noqa: PLC0415

    from sentinel.access.keys import new_key  # noqa: PLC0415

    return environment.SENTINEL_API_KEY or secret_from(settings.DATA_DIR / "api_key", new_key)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _become(module: str, *arguments: str) -> NoReturn:
    """Replace this process, so that signals reach the server itself."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main()
