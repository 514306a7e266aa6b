"""The target where nginx is not installed: an answer of 200 to whatever is asked, then closed.

Run as ``python -m tests.benchmarks.bundled PORT TLS_PORT CERTIFICATE KEY ADDRESS...``.
"""

import asyncio
import ssl
import sys
from collections.abc import Sequence
from typing import cast

import uvloop

from tests.benchmarks.target import BODY

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


class _Server(asyncio.Protocol):
    def __init__(self) -> None:
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._asked += data
        if b"\r\n\r\n" in self._asked:
            self._transport.write(_ANSWER)
            self._transport.close()


async def _serve(
    port: int, tls_port: int, certificate: str, key: str, addresses: Sequence[str]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    await loop.create_server(_Server, addresses, port, backlog=4096)
    await loop.create_server(_Server, addresses, tls_port, ssl=context, backlog=4096)
    await loop.create_future()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:]))
