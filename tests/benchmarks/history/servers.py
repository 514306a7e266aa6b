"""PostgreSQL and Valkey of a benchmark, in a folder that may be kept; Django beside them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import psycopg

from sentinel import embedded
from tests.benchmarks.measure import Failed
from tests.benchmarks.target import stop

API_KEY: Final = "a-key-of-the-benchmark-0123456789-0123456789"

QUICKLY: Final = (
    ("fsync", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("autovacuum", "off"),
    ("synchronous_commit", "off"),
    ("maintenance_work_mem", "512MB"),
)
"""Settings to seed with: what a crash would cost is a new seeding."""

_START_SECONDS: Final = 120.0


class Postgres:
    """A PostgreSQL as ``sentinel up`` runs it, which can be stopped and started."""

    def __init__(self, folder: Path, log: IO[bytes]) -> None:
        self._folder, self._log = folder, log
        self._user = embedded.prepare(folder)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, settings: Sequence[tuple[str, str]] = ()) -> None:
        """Start it and wait until it answers; ``settings`` are beside the product's own.

        Raises:
            Failed: it does not.
        """
        argv = embedded.postgres_argv(self._folder)
        for name, value in settings:
            argv += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            argv,
            stdout=self._log,
            stderr=self._log,
            cwd="/",
            user=self._user.pw_uid if self._user else None,
            group=self._user.pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = Path(self._log.name).read_text()[-1000:]
                raise Failed(f"PostgreSQL does not start: {words}")
            time.sleep(0.05)  # a server that is starting offers nothing to wait on

    def stop(self) -> None:
        """Stop it, if it runs: clean, so that it has nothing to replay at its next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(300)  # what it writes at its end may be gigabytes
            self._process = None

    def start_cold(self) -> None:
        """Start it anew with none of its files in memory."""
        self.stop()
        os.sync()  # only what is written can be thrown out
        for path in embedded.postgres_dir(self._folder).rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)
        self.start()

    def _answers(self) -> bool:
        url = embedded.database_url(self._folder).replace("/sentinel?", "/postgres?", 1)
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
                found = connection.execute(
                    "SELECT FROM pg_database WHERE datname = 'sentinel'"
                ).fetchone()
                if found is None:
                    connection.execute("CREATE DATABASE sentinel")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """Run both with a migrated database, and set up Django for them in this process.

    PostgreSQL has the settings to seed with.

    Args:
        folder: of the data, kept; another user may pass through what is above.

    Raises:
        Failed: one of them does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL, started by root, is another user
    _set_environment(folder)
    with (folder / "servers.log").open("ab") as log:
        postgres = Postgres(folder, log)
        valkey = subprocess.Popen(embedded.valkey_argv(folder), stdout=log, stderr=log)
        try:
            postgres.start(QUICKLY)
            command = [sys.executable, "-m", "sentinel", "init"]
            if subprocess.run(command, stdout=log, stderr=log, check=False).returncode:
                raise Failed(Path(log.name).read_text()[-1000:])
            import django

            django.setup()
            yield postgres
        finally:
            postgres.stop()
            stop(valkey)


def _set_environment(folder: Path) -> None:
    """Point this process and its children at the servers of the run, whatever the shell says."""
    for name in list(os.environ):
        if name.startswith(("SENTINEL_", "FLOWER_", "DATABASE_", "REDIS_", "DJANGO_", "PG")):
            del os.environ[name]
    os.environ.update(
        SENTINEL_DATA_DIR=str(folder),
        DATABASE_URL=embedded.database_url(folder),
        REDIS_URL=embedded.redis_url(folder),
        SENTINEL_API_KEY=API_KEY,
        DJANGO_SETTINGS_MODULE="sentinel.settings",
    )
