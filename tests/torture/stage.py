"""What the servers' process has started: the servers themselves, and the sockets they need."""

import contextlib
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.probes.nameserver import NameServer, Says
from tests.integration.probes.serving import Behaviour, Server
from tests.torture.certificates import Authority


class Stage:
    """Where rows start what they need; closed as one.

    Args:
        folder: for files that OpenSSL wants to read, among them ``trust.pem``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.names: Any = None
        self._held = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.authority.certificate_to(self.folder / "trust.pem")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._held.aclose()

    async def serve(
        self,
        behaviour: Behaviour,
        *,
        tls: ssl.SSLContext | None = None,
        scheme: str | None = None,
        host: str = "127.0.0.1",
    ) -> Server:
        """Start a server on a free port of loopback."""
        server = Server(behaviour, scheme=scheme or ("https" if tls else "http"))
        await server.open(host, 0, tls)
        self._held.push_async_callback(server.close)
        return server

    async def know(self, name: str, known: Mapping[str, Any]) -> str:
        """Teach the name server a name, and return it with its zone.

        Args:
            name: without the zone.
            known: fields of ``Says``; under ``turns``, several that follow each other.
        """
        whole = f"{name}.torture.example"
        await self._teach(whole, known)
        return whole

    async def _teach(self, name: str, known: Mapping[str, Any]) -> None:
        if self.names is None:
            self.names = NameServer()
            await self.names.open()
            self._held.push_async_callback(self.names.close)
        turns = [Says(**each) for each in known.get("turns", ())]
        self.names.known[name] = turns or Says(**known)

    async def nameserver(self) -> str:
        """Return the address of the name server, with what all rows may ask for."""
        for name in ("localhost", "a.torture.example", "a.b.torture.example"):
            await self._teach(name, {"addresses": ["127.0.0.1"]})
        return str(self.names.address)

    def hold(self, opened: socket.socket) -> socket.socket:
        """Keep a socket open as long as the stage is."""
        return self._held.enter_context(opened)
