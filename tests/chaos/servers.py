"""A PostgreSQL and a Valkey of the tests' own, on loopback ports, to be killed and begun anew."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
import redis

from sentinel import embedded
from tests.acceptance.cluster import free_port, until

_DISK_MB: Final = 320
_POSTGRES: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",
    # Its log of changes stays small, so that it fits on the small disk.
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
}


class Server:
    """A server as a process, told to end and to begin again.

    Args:
        argv: its command, in the foreground.
        port: of loopback, where it listens.
        answers: whether it serves.
        user: whom it runs as, None for this user.
    """

    def __init__(
        self, argv: Sequence[str], port: int, answers: Callable[[], bool], user: Any = None
    ) -> None:
        self.port = port
        self._argv, self._answers, self._user = argv, answers, user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it where it does not run, and wait until it serves."""

        def serves() -> bool:
            # A database whose disk is full ends at its start: its keeper tries again.
            if self._process is None or self._process.poll() is not None:
                self._launch()
            return self._answers()

        until(serves, f"{Path(self._argv[0]).name} answers", 60)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it at once, children of it included."""
        self.stop(signal.SIGKILL)

    def _launch(self) -> None:
        self._process = subprocess.Popen(
            self._argv,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=self._user.pw_uid if self._user else None,
            group=self._user.pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
        )


def postgres(folder: Path) -> Server:
    """Return a PostgreSQL with its files in a folder, with a database ``sentinel``."""
    folder.chmod(0o755)
    user = embedded.prepare(folder)
    port = free_port()

    def answers() -> bool:
        try:
            with psycopg.connect(
                database_url(port, "postgres"), autocommit=True, connect_timeout=3
            ) as connection:
                found = "SELECT FROM pg_database WHERE datname = 'sentinel'"
                if not connection.execute(found).rowcount:
                    connection.execute("CREATE DATABASE sentinel")
        except psycopg.OperationalError:
            return False
        return True

    settings = {**_POSTGRES, "port": str(port)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Server([*embedded.postgres_argv(folder), *options], port, answers, user)


def valkey(folder: Path) -> Server:
    """Return a Valkey that keeps nothing."""
    port = free_port()

    def answers() -> bool:
        try:
            with redis.Redis(port=port, socket_timeout=3) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    argv = [*embedded.valkey_argv(folder), "--port", str(port), "--bind", "127.0.0.1"]
    return Server(argv, port, answers)


def database_url(port: int, name: str = "sentinel") -> str:
    """Return where a database of this PostgreSQL is reached."""
    return f"postgresql://postgres@127.0.0.1:{port}/{name}"


class SmallDisk:
    """A folder on a disk of its own, in memory, that can be full. Root alone may make one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.why_not = "" if os.getuid() == 0 else "a disk of its own needs root"

    def __enter__(self) -> "SmallDisk":
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.why_not:
            command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs"]
            done = subprocess.run(
                [*command, str(self.folder)], check=False, capture_output=True, text=True
            )
            self.why_not = done.stderr.strip()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.why_not:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """Leave no room: the disk becomes as small as what is on it."""
        figures = os.statvfs(self.folder)
        used = (figures.f_blocks - figures.f_bfree) * figures.f_frsize
        # What is written meanwhile makes it too small a size.
        for spare in range(0, 64 << 20, 1 << 20):
            with contextlib.suppress(subprocess.CalledProcessError):
                self._resize(used + spare)
                return
        raise AssertionError("the disk cannot be filled")

    def empty(self) -> None:
        """Make room again."""
        self._resize(_DISK_MB << 20)

    def _resize(self, size: int) -> None:
        subprocess.run(
            ["mount", "-o", f"remount,size={size}", str(self.folder)],
            check=True,
            capture_output=True,
        )
