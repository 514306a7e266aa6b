"""What the servers' process has started: the servers themselves, and the sockets they need."""

import contextlib
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

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

    def hold(self, opened: socket.socket) -> socket.socket:
        """Keep a socket open as long as the stage is."""
        return self._held.enter_context(opened)
