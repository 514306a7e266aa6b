"""From addresses to a connection: raced as RFC 8305 describes, then TLS, each timed."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from monitoring.probes.exchange import Exchange, HungUp
from monitoring.probes.reasons import NoTrustStore, most_telling
from monitoring.probes.stopwatch import Stopwatch

ATTEMPT_DELAY: Final = 0.25
"""Seconds before the next address is tried beside one that has not answered (RFC 8305, 5)."""


@lru_cache(maxsize=8)
def ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Return the shared context: the system's trust store, or OpenSSL's SSL_CERT_FILE.

    Building one costs tens of milliseconds, so there is one per combination of options.

    Raises:
        NoTrustStore: there is nothing to verify against; every target would look untrusted.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if verify and not context.cert_store_stats()["x509"] and not _trust_folder():
        raise NoTrustStore(
            "this worker trusts no certificate authority: install ca-certificates, or let "
            "SSL_CERT_FILE name a file of them"
        )
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust_folder() -> bool:
    """Return whether OpenSSL has a folder of certificates, which it reads as it needs them."""
    folder = ssl.get_default_verify_paths().capath
    return bool(folder) and next(Path(folder).iterdir(), None) is not None


async def dial(
    addresses: Sequence[str], port: int, make: Callable[[], Exchange], watch: Stopwatch
) -> Exchange:
    """Return the exchange on the first of the addresses that connects.

    Args:
        addresses: already judged; in the resolver's order.
        port: the TCP port.
        make: makes the protocol of one attempt.
        watch: its ``connect`` phase is entered here and left when a connection stands.

    Raises:
        OSError: no address could be connected to; of several errors the most telling.
    """
    watch.enter("connect")
    watch.ip, watch.port = addresses[0], port
    if len(addresses) == 1:
        exchange = await _attempt(addresses[0], port, make)
    else:
        exchange = await _race(_interleaved(addresses), port, make, watch)
    watch.leave()
    return exchange


async def secure(exchange: Exchange, host: str, context: ssl.SSLContext, watch: Stopwatch) -> None:
    """Put TLS on a connection.

    Raises:
        ssl.SSLError, OSError, HungUp: there is no session.
    """
    watch.enter("tls")
    if exchange.ended:
        # uvloop would write to the closed socket, and tell nobody that it could not.
        raise HungUp
    secured = await asyncio.get_running_loop().start_tls(
        exchange.transport,
        exchange,
        context,
        # A name is sent, and is certified, without the root's dot (RFC 6066, 3).
        server_hostname=host.removesuffix("."),
        # The check's own deadline is the limit; asyncio's default would end a longer one.
        ssl_handshake_timeout=3600,
    )
    watch.leave()
    assert secured is not None
    exchange.use(secured)


async def _attempt(address: str, port: int, make: Callable[[], Exchange]) -> Exchange:
    _, exchange = await asyncio.get_running_loop().create_connection(make, address, port)
    return exchange


def _interleaved(addresses: Sequence[str]) -> list[str]:
    """Return the addresses with their families taking turns, the first one's first."""
    first = ip_address(addresses[0]).version
    same = [each for each in addresses if ip_address(each).version == first]
    other = [each for each in addresses if ip_address(each).version != first]
    turns: list[str] = []
    while same or other:
        turns += same[:1] + other[:1]
        same, other = same[1:], other[1:]
    return turns


async def _race(
    addresses: Sequence[str], port: int, make: Callable[[], Exchange], watch: Stopwatch
) -> Exchange:
    running: dict[asyncio.Task[Exchange], str] = {}
    errors: list[tuple[str, OSError]] = []
    left = list(addresses)
    try:
        while left or running:
            if left:
                watch.ip = left.pop(0)
                running[asyncio.create_task(_attempt(watch.ip, port, make))] = watch.ip
            done, _ = await asyncio.wait(
                running,
                timeout=ATTEMPT_DELAY if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                address = running.pop(task)
                error = task.exception()
                if error is None:
                    watch.ip = address
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append((address, error))
    finally:
        for task in running:
            task.add_done_callback(_discard)
            task.cancel()
    worst = most_telling([error for _, error in errors])
    watch.ip = errors[worst][0]
    raise errors[worst][1]


def _discard(task: asyncio.Task[Exchange]) -> None:
    """Close the connection of an attempt that came second."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
