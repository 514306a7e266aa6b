"""The long-running processes of a cluster: what each one executes."""

import ipaddress
import os
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
            *("--workers", str(environment.SENTINEL_API_WORKERS)),
            *("--threads", str(environment.SENTINEL_API_THREADS)),
            *("--worker-class", "sentinel.web_server.Worker"),
            *("--logger-class", "sentinel.web_server.Log"),
            *("--graceful-timeout", "8", "--timeout", "30", "--log-level", "warning"),
            "--no-control-socket",
            # A proxy on this host that passes on what it is sent would let anybody move the path.
            *("--forwarder-headers", ""),
        )
    )


def worker(environment: Environment) -> Process:
    """Return a Celery worker for the checks of this location, in both lanes."""
    # Here and in `control`: most commands that read this module need no queue.
    from monitoring.queues import probe_queue  # noqa: PLC0415

    location = environment.SENTINEL_LOCATION
    lanes = ",".join((probe_queue(location), probe_queue(location, slow=True)))
    return _celery_worker(f"worker-{location}", queues=lanes)


def control(_: Environment) -> Process:
    """Return a Celery worker for the sweeps, which are not to wait behind checks."""
    from monitoring.queues import CONTROL  # noqa: PLC0415

    return _celery_worker("control", "--concurrency", "1", queues=CONTROL)


def _celery_worker(name: str, *options: str, queues: str) -> Process:
    return Process(
        (
            *(sys.executable, "-W", _NO_ROOT_WARNING, "-m", "celery", "--quiet"),
            *("--app", "sentinel.celery", "worker", "--queues", queues, *options),
            # Two workers of one name, on one host, would be one to Flower and to Celery.
            *("--hostname", f"{name}-{os.getpid()}@%h"),
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

    That is the key of the environment for as long as Flower runs with it, whatever became of it
    in the API: Flower knows no database. Another password takes another key and a restart.

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
