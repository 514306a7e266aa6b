"""A resolver that never leaves the machine, servers, and a trust store of our own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from monitoring.probes.trust import client_context
from tests.integration.probes import checking
from tests.integration.probes.asking import Asker
from tests.integration.probes.nameserver import NameServer
from tests.integration.probes.serving import Host, Server

Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Run the servers' thread."""
    host = Host()
    yield host
    host.stop()


@pytest.fixture(autouse=True)
def names(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """Let every check ask a name server of ours: no packet leaves for DNS."""
    server = NameServer()
    server.known["server.example"] = ["127.0.0.1"]
    host.call(server.open())
    monkeypatch.setitem(checking.DEFAULTS, "nameservers", (server.address,))
    # In place of what resolv.conf says of them on this machine.
    monkeypatch.setenv("LOCALDOMAIN", "search.example")
    monkeypatch.setenv("RES_OPTIONS", "ndots:1")
    yield server
    host.call(server.close())


@pytest.fixture
def asker(names: NameServer) -> Asker:
    """Return one who asks our name server."""
    return Asker(names.address)


@pytest.fixture
def another(host: Host) -> Iterator[NameServer]:
    """A second name server."""
    server = NameServer()
    host.call(server.open())
    yield server
    host.call(server.close())


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
    client_context.cache_clear()
    yield authority
    client_context.cache_clear()
