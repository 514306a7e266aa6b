"""A TCP connection that knows when bytes arrived, and not only when they were looked at.

Its own sockets in place of the loop's transports, for the sake of the clock: an event loop
that is busy reads an answer late, and would report its own queueing as the target's time.
Linux stamps every segment as it comes in (SO_TIMESTAMPNS) and knows how long the handshake
took (TCP_INFO), so both are asked.
"""

import asyncio
import errno
import os
import socket
import struct
import time
from functools import lru_cache
from typing import Final

from monitoring.probes.poller import BEYOND, OUT, poller

RECEIVE_BYTES: Final = 65_536
_SO_TIMESTAMPNS: Final = 35  # <asm-generic/socket.h>; Python has no name for it
_STAMP: Final = struct.Struct("@ll")  # struct timespec
_STAMP_SPACE: Final = socket.CMSG_SPACE(_STAMP.size)
_TCP_INFO_SIZE: Final = 104
_TCP_INFO_RTT: Final = 68
_TCP_INFO_TOTAL_RETRANS: Final = 100
_U32: Final = struct.Struct("@I")
_CONNECTED: Final = frozenset({1, 8})
"""TCP_ESTABLISHED, and TCP_CLOSE_WAIT of a peer that has said its last already."""
_ONE_SEGMENT: Final = 536
"""What every path takes as one (RFC 9293, 3.7.1)."""
_KIND: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


class Wire:
    """One connection. Its reader pulls: what nobody asks for stays in the kernel.

    ``arrived`` is the instant, on ``time.perf_counter``, at which the connection stood, and
    later that at which the last bytes that ``receive`` returned had come in.

    Args:
        unconnected: a non-blocking socket, which this one owns from now on.
        loop: the running one.
    """

    __slots__ = (
        "_fd", "_left", "_loop", "_poller", "_received", "_said", "_socket", "_stands",
        "_talkative", "_waiter", "_writable", "arrived",
    )  # fmt: skip

    def __init__(self, unconnected: socket.SocketType, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = unconnected
        self._fd = unconnected.fileno()
        self._loop = loop
        self._poller = poller(loop)
        self._stands = False
        self._said = False
        self._talkative = False
        """Whether small pieces are sent as they are, without waiting for what they follow."""
        self._writable = False
        self._left = False
        """Whether the kernel may have more, of which it will not tell again."""
        self._received: bytes | OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.arrived = 0.0

    async def connect(self, address: str, port: int) -> None:
        """Connect, and begin to read.

        Raises:
            OSError: it could not be done.
        """
        made = self._socket
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        started = time.perf_counter()
        code = made.connect_ex((address, port))
        if code and code != errno.EINPROGRESS:
            raise OSError(code, os.strerror(code))
        self._poller.watch(self._fd, self._hear)
        while not (self._writable or self._left):
            await self._news()
        now = time.perf_counter()
        info = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        if info[0] not in _CONNECTED:
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        self.arrived = _established(info, started, now)
        self._stands = True
        if self._left:
            self._take()

    def has_spoken(self) -> bool:
        """Return whether bytes have come that nobody has received."""
        return isinstance(self._received, bytes) and bool(self._received)  # a goodbye is no answer

    async def send(self, data: bytes | memoryview) -> memoryview:
        """Hand bytes to the kernel, all of them unless something comes in first.

        Returns:
            What is left: who is asked to take more than there is room for may answer
            before it has, and would be waited for in vain.

        Raises:
            OSError: the connection is gone.
        """
        left = memoryview(data)[self._try_send(data) :]
        while left:
            if self._received is None and self._left:
                self._take()  # of what is left in a full buffer the kernel does not tell again
            if self._received is not None:
                break
            while not self._writable and self._received is None:
                await self._news()
            if self._received is None:
                left = left[self._try_send(left) :]
        return left

    async def receive(self) -> bytes:
        """Return what has come, as soon as anything has; nothing at the end.

        Raises:
            OSError: the connection broke.
        """
        if self._received is None and self._left:
            self._take()
        while self._received is None:
            await self._news()
        received, self._received = self._received, None
        if isinstance(received, OSError):
            raise received
        return received

    def lateness(self) -> float:
        """Return for how many seconds the last bytes have waited for us."""
        return max(0.0, time.perf_counter() - self.arrived)

    def close(self) -> None:
        """Close at once; what has not been read is lost."""
        if self._fd < 0:
            return
        self._poller.forget(self._fd)
        self._fd = -1
        self._socket.close()

    def _try_send(self, data: bytes | memoryview) -> int:
        if not self._talkative and (self._said or len(data) > _ONE_SEGMENT):
            # Nagle's algorithm would hold the last piece until the peer's ACK, which it may
            # put off by 40 ms. A request that goes in one segment has no use for the call.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._talkative = True
        self._said = True
        try:
            return self._socket.send(data)
        except BlockingIOError:
            self._writable = False
            return 0

    async def _news(self) -> None:
        """Wait until the kernel tells of something."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _hear(self, events: int) -> None:
        """Take in what the kernel tells. Bytes are read at once: what comes next is behind them."""
        if events & OUT:
            self._writable = True
        if events & ~OUT:
            if events & BEYOND or self._received is not None:
                # What lies behind bytes is told of together with them. And where nobody
                # has come for the last, the rest waits, which slows the peer.
                self._left = True
            if not self._stands:
                self._left = True  # an error is the connecting one's to read
            elif self._received is None:
                self._take()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self) -> None:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(RECEIVE_BYTES, _STAMP_SPACE)
        except BlockingIOError:
            self._left = False
        except OSError as error:
            self._received = error
            self.arrived = time.perf_counter()
        else:
            self._received = data
            self.arrived = _instant_of(ancillary)
            if not data or len(data) == RECEIVE_BYTES:
                self._left = True


async def connect(address: str, port: int, loop: asyncio.AbstractEventLoop) -> Wire:
    """Return a connection to an address, which has been judged already.

    Raises:
        OSError: there is none.
    """
    _keep_the_stamps_on()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The bare type: the standard library's class around it costs as much as a system call.
    wire = Wire(socket.SocketType(family, _KIND), loop)
    try:
        await wire.connect(address, port)
    except BaseException:
        wire.close()
        raise
    return wire


@lru_cache(maxsize=1)
def _keep_the_stamps_on() -> int:
    """Return a socket's descriptor, there for as long as the process is, that asks for stamps.

    The kernel begins to stamp packets a while after the first socket asks, by rewriting its
    own code, and ends so after the last: with a check at a time it would do so for each.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        return made.detach()


def _established(info: bytes, started: float, now: float) -> float:
    """Return when the handshake was complete, on ``time.perf_counter``; by TCP_INFO."""
    retransmitted: int = _U32.unpack_from(info, _TCP_INFO_TOTAL_RETRANS)[0]
    round_trip: int = _U32.unpack_from(info, _TCP_INFO_RTT)[0]
    if retransmitted or not round_trip:
        return now  # the sample would be of the last attempt only
    return min(now, started + round_trip / 1_000_000)


def _instant_of(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Return when the kernel received what was just read, on ``time.perf_counter``."""
    now = time.perf_counter()
    if not ancillary:  # the end of the connection carries no stamp
        return now
    stamp: tuple[int, int] = _STAMP.unpack(ancillary[0][2])
    # Both are of the wall clock: a step of it between the two reads would show up here.
    late = time.time() - (stamp[0] + stamp[1] / 1_000_000_000)
    return now - late if 0.0 < late < 60.0 else now
