"""A name server that knows every name under one address, until it falls silent."""

import asyncio
import threading
from typing import cast

import dns.exception
import dns.message
import dns.rdatatype
import dns.rrset

TTL: int = 1


class Answers(asyncio.DatagramProtocol):
    """Answers each question for an address with the same one; to any other there is nothing."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.is_silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.is_silent:
            return
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return
        response = dns.message.make_response(query)
        if query.question and query.question[0].rdtype == dns.rdatatype.A:
            name = query.question[0].name
            response.answer.append(dns.rrset.from_text(name, TTL, "IN", "A", self._address))
        self._transport.sendto(response.to_wire(), addr)


class Names:
    """The name server on a port of loopback, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._answers = Answers("127.0.0.1")

    def __enter__(self) -> "Names":
        self._thread.start()
        opening = self._loop.create_datagram_endpoint(
            lambda: self._answers, local_addr=("127.0.0.1", 0)
        )
        self._transport, _ = asyncio.run_coroutine_threadsafe(opening, self._loop).result(5)
        host, port = self._transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._transport.close()
        await asyncio.sleep(0)  # its socket is closed in the next turn

    def fall_silent(self) -> None:
        """Answer nothing more."""
        self._answers.is_silent = True

    def speak(self) -> None:
        """Answer again."""
        self._answers.is_silent = False
