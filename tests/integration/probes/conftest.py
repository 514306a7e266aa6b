"""A resolver that never leaves the machine, servers, and a trust store of our own."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from monitoring.probes.tls import ssl_context
from tests.integration.probes.serving import Host, Server

Serve = Callable[..., Server]


class Names:
    """What the resolver says: addresses, an error, or nothing until it is released."""

    def __init__(self) -> None:
        self.known: dict[str, list[str] | Exception | None] = {"localhost": ["127.0.0.1"]}
        self.asked: list[str] = []
        self.released = threading.Event()

    def look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        host.encode("idna")  # as the real one does first
        known = self.known[host]
        if known is None:
            self.released.wait(60)
            known = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if isinstance(known, Exception):
            raise known
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in known
        ]


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """Put our resolver in place of the system's, for every test: no packet leaves for DNS."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    yield names
    names.released.set()


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Run the servers' thread."""
    host = Host()
    yield host
    host.stop()


@pytest.fixture
def serve(host: Host) -> Iterator[Serve]:
    """Return a function that starts a server, closed after the test."""
    servers = []

    def start(*args: Any, **options: Any) -> Server:
        server = host.serve(*args, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        host.call(server.close())


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority of our own."""
    return trustme.CA()


@pytest.fixture
def trust(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[trustme.CA]:
    """Let the probe trust our authority, and nobody else."""
    store = tmp_path / "trust.pem"
    authority.cert_pem.write_to_path(str(store))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    ssl_context.cache_clear()
    yield authority
    ssl_context.cache_clear()
