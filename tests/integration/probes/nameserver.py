"""A name server on loopback, over UDP and TCP, that says what it is told to say."""

import asyncio
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

NEGATIVE_TTL: Final = 3600
"""What the zone says of how long a name's absence may be remembered."""


@dataclass(frozen=True)
class Says:
    """One answer.

    Attributes:
        addresses: of both families; each question gets those of its own.
        ttl: of the addresses, in seconds.
        aliases: names and times to live of the CNAMEs before the addresses.
        rcode: such as ``NXDOMAIN``.
        after: seconds before it is sent.
        silent: nothing is sent.
        truncated: over UDP only that there is more over TCP.
        garbage: sent in place of it.
        lying: before the right answer come two with these addresses: one with the number of
            another question, one to another name.
        ungrounded: without the SOA that an answer without addresses has.
    """

    addresses: Sequence[str] = ()
    ttl: int = 60
    aliases: Sequence[tuple[str, int]] = ()
    rcode: str = "NOERROR"
    after: float = 0.0
    silent: bool = False
    truncated: bool = False
    garbage: bytes | None = None
    lying: Sequence[str] | None = None
    ungrounded: bool = False


NXDOMAIN: Final = Says(rcode="NXDOMAIN")
NODATA: Final = Says()
SERVFAIL: Final = Says(rcode="SERVFAIL")
REFUSED: Final = Says(rcode="REFUSED")
SILENCE: Final = Says(silent=True)

Entry = Says | list[str] | list[Says] | dict[str, Says]


class NameServer:
    """What names are known, and which questions have come.

    Attributes:
        known: by name in lower case, with no dot at its end: addresses, one answer, answers
            that follow each other (the last one stays), or answers by the type of question.
            Any other name does not exist.
        questions: name, type and transport of each, in the order of their coming.
    """

    def __init__(self) -> None:
        self.known: dict[str, Entry] = {}
        self.questions: list[tuple[str, str, str]] = []
        self.host = "127.0.0.1"
        self.port = 0
        self._turns: Counter[tuple[str, str]] = Counter()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Where it is asked."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def asked(self) -> list[str]:
        """The names of the questions."""
        return [name for name, _, _ in self.questions]

    def count(self, name: str, kind: str = "A") -> int:
        """Return how often a name was asked for."""
        return sum(each[:2] == (name, kind) for each in self.questions)

    def begin_anew(self) -> None:
        """Let answers that follow each other begin with the first."""
        self._turns.clear()

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on one port over both transports; on any that is free with both, unless told."""
        self.host = host
        while self._udp is None:
            self._tcp = await asyncio.start_server(self._converse, host, port)
            self.port = self._tcp.sockets[0].getsockname()[1]
            loop = asyncio.get_running_loop()
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(host, self.port)
                )
            except OSError:
                self._tcp.close()
                if port:
                    raise

    async def close(self) -> None:
        """Stop listening."""
        assert self._udp is not None
        assert self._tcp is not None
        self._udp.close()
        self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hear(self, data: bytes, address: tuple[str, int]) -> None:
        """Answer a datagram."""

        async def reply() -> None:
            assert self._udp is not None
            for part in await self._answers(data, "udp"):
                self._udp.sendto(part, address)

        task = asyncio.get_running_loop().create_task(reply())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                for part in await self._answers(await reader.readexactly(length), "tcp"):
                    writer.write(struct.pack("!H", len(part)) + part)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _answers(self, data: bytes, transport: str) -> list[bytes]:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, kind, transport))
        says = self._says(name, kind)
        await asyncio.sleep(says.after)
        if says.silent:
            return []
        if says.garbage is not None:
            return [says.garbage]
        if says.truncated and transport == "udp":
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            return [cut.to_wire()]
        answers = [_message(query, says, kind).to_wire(max_size=65_535)]
        if says.lying is not None:
            false = _message(query, replace(says, addresses=says.lying), kind)
            false.id ^= 0x5555
            other = dns.message.make_query("other.example", kind)
            other.id = query.id
            elsewhere = _message(other, replace(says, addresses=says.lying), kind)
            answers[:0] = [false.to_wire(), elsewhere.to_wire()]
        return answers

    def _says(self, name: str, kind: str) -> Says:
        entry = self.known.get(name, NXDOMAIN)
        if isinstance(entry, dict):
            entry = entry[kind]
        if isinstance(entry, Says):
            return entry
        turns = [each for each in entry if isinstance(each, Says)]
        if not turns:
            return Says(tuple(each for each in entry if isinstance(each, str)))
        turn = min(self._turns[name, kind], len(turns) - 1)
        self._turns[name, kind] += 1
        return turns[turn]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.hear(data, addr)


def _message(query: dns.message.Message, says: Says, kind: str) -> dns.message.Message:
    message = dns.message.make_response(query)
    message.flags |= dns.flags.RA
    message.set_rcode(dns.rcode.from_text(says.rcode))
    owner = query.question[0].name
    for alias, ttl in says.aliases:
        message.answer.append(dns.rrset.from_text(owner, ttl, "IN", "CNAME", f"{alias}."))
        owner = dns.name.from_text(alias)
    # ::ffff:127.0.0.1 has dots too.
    mine = [address for address in says.addresses if (":" in address) is (kind == "AAAA")]
    if mine and kind in ("A", "AAAA"):
        # One by one: dnspython shuffles what it takes for one set.
        for address in mine:
            message.answer.append(dns.rrset.from_text(owner, says.ttl, "IN", kind, address))
    elif says.rcode in ("NOERROR", "NXDOMAIN") and not says.ungrounded:
        soa = f"ns.example. admin.example. 1 3600 600 86400 {NEGATIVE_TTL}"
        message.authority.append(dns.rrset.from_text("example.", NEGATIVE_TTL, "IN", "SOA", soa))
    return message
