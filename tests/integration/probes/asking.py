"""Asking for names, as the probe does it, on a loop of its own."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import pytest
import uvloop

from monitoring.probes import resolving
from monitoring.probes.outcome import IPVersion
from monitoring.probes.resolving import Resolution, Unresolved
from tests.integration.probes.nameserver import Says

T = TypeVar("T")

BOTH: Final = IPVersion.BOTH
HERE: Final = Says(["127.0.0.1"])


def run(work: Callable[[], Awaitable[T]], runner: Callable[..., T] = uvloop.run) -> T:
    """Run a test's work on a loop, and leave nothing behind there."""

    async def whole() -> T:
        try:
            return await work()
        finally:
            await resolving.close()

    return runner(whole())


class Asker:
    """Asks the tests' name server."""

    def __init__(self, *addresses: str) -> None:
        self.nameservers = addresses

    async def ask(self, host: str, ip_version: IPVersion = BOTH) -> Resolution:
        """Ask for a name."""
        return await resolving.ask(host, ip_version=ip_version, nameservers=self.nameservers)

    def cached(self, host: str, ip_version: IPVersion = BOTH) -> tuple[str, ...] | None:
        """Return what is known."""
        return resolving.cached(host, ip_version=ip_version, nameservers=self.nameservers)

    async def fail(self, host: str, ip_version: IPVersion = BOTH) -> Unresolved:
        """Ask for a name that has no addresses."""
        with pytest.raises(Unresolved) as failure:
            await self.ask(host, ip_version)
        return failure.value
