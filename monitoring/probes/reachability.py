"""Whether somebody is there: one connection tried, one question to a name server, nothing more."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Sequence
from typing import Any, Final

NAMES_PATIENCE: Final = 2.0
WAY_PATIENCE: Final = 0.9
"""Seconds that a name server, and that any other, has to answer.

Each is asked once, and a connection's packet is sent again after a second (RFC 6298, 2.1): a
network that comes back while it is asked has not been there all the time.
"""

_ROOT_NS: Final = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"
"""The question for the name servers of the root, recursion desired, without its number."""

Endpoint = tuple[str, int]


async def any_of(questions: Sequence[Awaitable[bool]]) -> bool:
    """Return whether one of the questions is answered with yes; the first yes ends it."""
    tasks = [asyncio.ensure_future(each) for each in questions]
    try:
        for task in asyncio.as_completed(tasks):
            if await task:
                return True
        return False
    finally:
        for each in tasks:
            each.cancel()


async def connects(address: Endpoint) -> bool:
    """Return whether a canary answers; who refuses has answered."""
    try:
        async with asyncio.timeout(WAY_PATIENCE):
            _, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return True
    except OSError:  # a time-out is one
        return False
    writer.transport.abort()
    return True


async def level_of(server: Endpoint) -> int:
    """Return 2 where a name server looks the root up, 1 where it answers otherwise, else 0."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()
    number = os.urandom(2)
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Question(number, answer), remote_addr=server, family=_family(server[0])
        )
    except OSError:
        return 0
    try:
        transport.sendto(number + _ROOT_NS)
        async with asyncio.timeout(NAMES_PATIENCE):
            return await answer
    except TimeoutError:
        return 0
    finally:
        transport.close()


class _Question(asyncio.DatagramProtocol):
    """One question to a name server: the number and the response code are all that matters."""

    def __init__(self, number: bytes, answer: asyncio.Future[int]) -> None:
        self._number, self._answer = number, answer

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Take an answer to this question (RFC 1035, 4.1.1)."""
        if len(data) >= 12 and data[:2] == self._number and data[2] & 0x80:
            self._end(2 if data[3] & 0x0F == 0 else 1)

    def error_received(self, exc: Exception) -> None:
        """Take the news that nobody listens there, or that there is no way."""
        self._end(0)

    def _end(self, level: int) -> None:
        if not self._answer.done():
            self._answer.set_result(level)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_here(host: str) -> bool:
    """Return whether an address is this machine's loopback, to which no network leads."""
    return host.startswith("127.") or host == "::1"
