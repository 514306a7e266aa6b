"""Real PostgreSQL and Valkey for the tests, from the same wheels that ``sentinel up`` runs.

A pytest plugin, loaded by ``-p`` in pyproject.toml before Django's settings are read: it
points the environment at servers in a folder of its own, starts them once for the whole
run (xdist's workers inherit the environment), and stops them at its end.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis

from sentinel import embedded

_IS_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_processes: list[subprocess.Popen[bytes]] = []

if not _IS_XDIST_WORKER:
    # A short path, because a Unix socket's may not be long; settings are read right after.
    FOLDER = Path(tempfile.mkdtemp(prefix="sentinel-test-"))
    for _name in [name for name in os.environ if name.startswith(("SENTINEL_", "FLOWER_"))]:
        del os.environ[_name]
    os.environ["SENTINEL_DATA_DIR"] = str(FOLDER)
    os.environ["DATABASE_URL"] = embedded.database_url(FOLDER)
    os.environ["REDIS_URL"] = embedded.redis_url(FOLDER)
    os.environ["SENTINEL_ALLOWED_TARGETS"] = "127.0.0.0/8"
    # Tests come without a key more often than anybody would; those of the limit set one.
    os.environ["SENTINEL_RATE_LIMIT_FAILURES"] = "0"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, before pytest-django makes its database."""
    if _IS_XDIST_WORKER or config.option.collectonly:
        return
    FOLDER.chmod(0o755)
    user = embedded.prepare(FOLDER)
    with (FOLDER / "servers.log").open("ab") as log:
        _processes.append(
            subprocess.Popen(
                [
                    *embedded.postgres_argv(FOLDER),
                    *("-c", "fsync=off", "-c", "max_connections=200"),
                    *(
                        "-c",
                        "max_prepared_transactions=4",
                    ),  # who has them shares its server with us
                ],
                stdout=log,
                stderr=log,
                cwd="/",
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        )
        _processes.append(subprocess.Popen(embedded.valkey_argv(FOLDER), stdout=log, stderr=log))
    _wait_for_servers()


def pytest_unconfigure() -> None:
    """Stop the servers and remove their folder."""
    if _IS_XDIST_WORKER:
        return
    for process in _processes:
        process.send_signal(signal.SIGINT)
    for process in _processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _processes.clear()
    shutil.rmtree(FOLDER, ignore_errors=True)


def _wait_for_servers() -> None:
    url = os.environ["DATABASE_URL"].replace("/sentinel?", "/postgres?")
    for _ in range(300):
        try:
            psycopg.connect(url, connect_timeout=3).close()
            with redis.from_url(os.environ["REDIS_URL"]) as client:
                client.ping()
        except (psycopg.OperationalError, redis.RedisError):
            if any(process.poll() is not None for process in _processes):
                break
            time.sleep(0.1)  # a server that is starting offers nothing to wait on
        else:
            return
    raise pytest.UsageError((FOLDER / "servers.log").read_text())
