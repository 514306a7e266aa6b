"""The long-running processes of a cluster: what each one executes."""

import ipaddress
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sentinel.environment import Environment

# Celery warns of the superuser at every start; `sentinel up` says it once, in a line.
_NO_ROOT_WARNING: Final = "ignore:You're running the worker with superuser"


@dataclass(frozen=True, slots=True)
class Process:
    """A command line, and what it needs in its environment beside what is there."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def api(environment: Environment) -> Process:
    """Return gunicorn with the API."""
    host = environment.SENTINEL_HOST
    bind = f"[{host}]" if ":" in host else host
    return Process(
        (
            *(sys.executable, "-m", "gunicorn", "sentinel.wsgi"),
            *("--bind", f"{bind}:{environment.SENTINEL_PORT}"),
            *("--workers", "2", "--threads", "4", "--worker-class", "gthread"),
            *("--graceful-timeout", "8", "--timeout", "30", "--log-level", "warning"),
            "--no-control-socket",
        )
    )


def worker(_: Environment) -> Process:
    """Return a Celery worker for the queues of this location."""
    return Process(
        (
            *(sys.executable, "-W", _NO_ROOT_WARNING, "-m", "celery", "--quiet"),
            *("--app", "sentinel.celery", "worker", "--hostname", "worker@%h"),
            *("--loglevel", "INFO", "--task-events", "--without-gossip", "--without-mingle"),
        )
    )


def beat(_: Environment) -> Process:
    """Return Celery Beat."""
    return Process(
        (
            *(sys.executable, "-m", "celery", "--quiet", "--app", "sentinel.celery", "beat"),
            *("--pidfile", "", "--loglevel", "INFO"),
        )
    )


def flower(environment: Environment, *, api_key: Callable[[], str]) -> Process:
    """Return Flower; where it can be reached from elsewhere, behind a password.

    Args:
        environment: where it listens.
        api_key: asked for the password where one is needed.
    """
    env = {}
    if not _is_loopback(environment.SENTINEL_HOST):
        # By the environment: a command line can be read by every user of the machine.
        env["FLOWER_BASIC_AUTH"] = f"sentinel:{api_key()}"
    return Process(
        (
            *(sys.executable, "-m", "celery", "--app", "sentinel.celery", "flower"),
            f"--address={environment.SENTINEL_HOST}",
            f"--port={environment.FLOWER_PORT}",
        ),
        env,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
