"""Every forbidden spelling through both doors, in a network of its own: who is dialled?

Run as ``python -m tests.integration.probes.trial [blind]``, it prints a report as JSON; with
``blind``, the guard lets everything pass, which shows that connections would be seen. It ends
with ``NO_NAMESPACE`` and a sentence where it cannot have a network of its own.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

import structlog
import uvloop

from domains.weburl import normalise_url
from monitoring.own_addresses import OwnAddresses
from monitoring.probes import http, resolving
from monitoring.probes.guard import Guard, Listener, parse_allowed_targets
from monitoring.probes.outcome import Outcome, Target
from monitoring.probes.states import Reason
from tests.integration.probes import forbidden
from tests.integration.probes.forbidden import CONTROL_IPV4, CONTROL_IPV6, CONTROL_NAME
from tests.integration.probes.nameserver import NameServer, Says
from tests.integration.probes.namespace import Unavailable, Witness, enter

NO_NAMESPACE: Final = 77
SECONDS: Final = 3.0
CONTROL_PORT: Final = 8080  # where the second round's control listens
DNS_PORT: Final = 53


class Blind(Guard):
    """A guard that sees nothing."""

    def judge(self, text: str, port: int) -> None:
        """Let everything pass."""


@dataclass(slots=True)
class Report:
    """What came of it.

    Attributes:
        spellings: how many there were, each counted once.
        checks: how many were run: each spelling through each door.
        dialled: forbidden connections: spelling, door, address, port.
        control: connections to permitted addresses.
        controls: how the checks of permitted targets ended.
        by_guard: the spellings that the guard had to refuse: nothing before it did.
        endings: how checks ended, counted by reason.
        missed: packets that the witness did not see.
        questions: how many reached the name server.
    """

    spellings: int = 0
    checks: int = 0
    dialled: list[tuple[str, str, str, int]] = field(default_factory=list)
    control: int = 0
    controls: dict[str, str] = field(default_factory=dict)
    by_guard: list[str] = field(default_factory=list)
    endings: dict[str, int] = field(default_factory=dict)
    missed: int = 0
    questions: int = 0


class Names(NameServer):
    """What the zone says, the hosts it changes its mind about, and numbers as addresses.

    Whoever answers for names may take ``2130706433`` for one, and answer with what
    ``inet_aton`` reads in it. No answer is too long for UDP: a connection to this server
    would be a forbidden one.
    """

    def __init__(self) -> None:
        super().__init__()
        for name, entry in forbidden.ZONE.items():
            self.known[name] = entry if isinstance(entry, list) else _alias(entry)
        for name, answers in forbidden.REBINDING.items():
            self.known[name] = [Says(addresses, ttl=0) for addresses in answers]

    def _says(self, name: str, kind: str) -> Says:
        if name not in self.known:
            with contextlib.suppress(OSError):
                return Says([socket.inet_ntoa(socket.inet_aton(name))])
        return super()._says(name, kind)


def _alias(target: str) -> Says:
    aliases = [target]
    while isinstance(entry := forbidden.ZONE[aliases[-1]], str):
        aliases.append(entry)
    return Says(entry, aliases=[(name, 60) for name in aliases])


@dataclass(frozen=True)
class Round:
    """Spellings that one guard has to refuse.

    Attributes:
        guard: the policy.
        spellings: URLs.
        through: the permitted server that redirects to them: scheme, host and port.
        controls: URLs that must be reached.
        permits: whether a connection to an address and port was to be.
    """

    guard: Guard
    spellings: tuple[str, ...]
    through: str
    controls: tuple[str, ...]
    permits: Callable[[str, int], bool]

    def redirect(self, location: str) -> str:
        """Return a permitted URL that redirects to where one likes."""
        return f"{self.through}/redirect/{location.encode('utf-8', 'surrogatepass').hex()}"

    def doors(self, url: str) -> Iterator[tuple[str, str]]:
        """Return the ways in: the name of each, and the URL to be checked."""
        yield "as it stands", url
        with contextlib.suppress(ValueError):
            yield "registered", normalise_url(url)
        yield "redirected", self.redirect(url)
        yield "redirected twice", self.redirect(self.redirect(url))
        if url.startswith("http://"):
            yield "redirected without a scheme", self.redirect(url.removeprefix("http:"))


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer 200, or redirect as the path says, whatever address was dialled."""
    try:
        if await reader.readexactly(1) == b"\x16":
            return  # the hello of TLS
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        _, found, location = path.partition(b"/redirect/")
        head = b"HTTP/1.1 200 OK\r\n"
        if found:
            head = b"HTTP/1.1 302 Found\r\nLocation: %s\r\n" % bytes.fromhex(location.decode())
        writer.write(head + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError, ValueError):
        pass
    finally:
        writer.close()


async def run(rounds: tuple[Round, ...]) -> Report:
    """Check everything, one after the other, and look after each who was dialled."""
    names = Names()
    await names.open(port=DNS_PORT)
    witness = Witness()
    servers = [
        await asyncio.start_server(serve, host, port)
        for host in ("0.0.0.0", "::")
        for port in (80, CONTROL_PORT)
    ]
    report = Report()
    endings: Counter[str] = Counter()

    async def check(url: str, guard: Guard) -> Outcome:
        names.begin_anew()
        target = Target(url=url, guard=guard, nameservers=(names.address,))
        return await http.probe(target, asyncio.get_running_loop().time() + SECONDS)

    def count(part: Round, spelling: str, door: str) -> None:
        for address, port in witness.tell():
            if part.permits(address, port):
                report.control += 1
            else:
                report.dialled.append((spelling, door, address, port))

    for part in rounds:
        for url in part.controls:
            outcome = await check(url, part.guard)
            report.controls[url] = f"{outcome.state} {outcome.detail}".strip()
            count(part, url, "control")
        report.spellings += len(part.spellings)
        for spelling in part.spellings:
            refused = False
            for door, url in part.doors(spelling):
                outcome = await check(url, part.guard)
                report.checks += 1
                endings[outcome.reason or outcome.state] += 1
                refused |= outcome.reason is Reason.FORBIDDEN_ADDRESS
                count(part, spelling, door)
            if refused:
                report.by_guard.append(spelling)
    await resolving.close()
    await names.close()
    for server in servers:
        server.close()
    count(rounds[-1], "whatever came late", "none")
    report.questions = len(names.questions)
    report.endings = dict(endings)
    report.missed = witness.missed()
    witness.close()
    return report


def rounds(*, blind: bool) -> tuple[Round, ...]:
    """Return the default policy's round, and the one of an operator who allowed much."""
    rebinding = tuple(
        # Answered by the control at first, which sends the probe back to the same name.
        f"http://{name}/redirect/{f'http://{name}/redirect/{again}'.encode().hex()}"
        for name in forbidden.REBINDING
        for again in [f"http://{name}/again".encode().hex()]
    )
    everywhere = (
        *(f"http://{host}/" for hosts in forbidden.HOSTS.values() for host in hosts),
        *(url for urls in forbidden.URLS.values() for url in urls),
        *rebinding,
    )
    much = OwnAddresses(
        parse_allowed_targets("127.0.0.0/8,::1,10.0.0.0/8,fd00::/8"),
        [
            Listener("127.0.0.1", 8000, "Sentinel's own API"),
            Listener("0.0.0.0", 5555, "Sentinel's own Flower"),
            Listener("10.0.0.5", 5432, "Sentinel's own database"),
            Listener("fd00::6", 6379, "Sentinel's own Redis"),
        ],
    ).guard()
    public = {CONTROL_IPV4, CONTROL_IPV6}
    return (
        Round(
            guard=Blind() if blind else Guard(),
            spellings=tuple(dict.fromkeys(everywhere)),
            through=f"http://{CONTROL_IPV4}",
            controls=(
                f"http://{CONTROL_IPV4}/",
                f"http://[{CONTROL_IPV6}]/",
                f"http://{CONTROL_NAME}/",
            ),
            permits=lambda address, _: address in public,
        ),
        Round(
            guard=Blind() if blind else much,
            spellings=forbidden.OWN_SERVICES,
            through=f"http://127.0.0.1:{CONTROL_PORT}",
            controls=(f"http://127.0.0.1:{CONTROL_PORT}/", f"http://localhost:{CONTROL_PORT}/"),
            permits=lambda _, port: port == CONTROL_PORT,
        ),
    )


def main() -> None:
    """Run and report."""
    try:
        enter()
    except Unavailable as reason:
        print(reason)
        sys.exit(NO_NAMESPACE)
    # What stands there as it is may be no URL, which the probe takes for a defect of its own.
    os.environ |= {"LOCALDOMAIN": "search.example", "RES_OPTIONS": "ndots:1"}
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = uvloop.run(run(rounds(blind="blind" in sys.argv)))
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
