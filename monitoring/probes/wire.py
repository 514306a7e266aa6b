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

RECEIVE_BYTES: Final = 65_536
_SO_TIMESTAMPNS: Final = 35  # <asm-generic/socket.h>; Python has no name for it
_STAMP: Final = struct.Struct("@ll")  # struct timespec
_STAMP_SPACE: Final = socket.CMSG_SPACE(_STAMP.size)
_TCP_INFO_SIZE: Final = 104
_TCP_INFO_RTT: Final = 68
_TCP_INFO_TOTAL_RETRANS: Final = 100
_U32: Final = struct.Struct("@I")
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
        "_fd", "_fresh", "_loop", "_reading", "_received", "_socket", "_waiter", "_writing",
        "arrived",
    )  # fmt: skip

    def __init__(self, unconnected: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = unconnected
        self._fd = unconnected.fileno()
        self._loop = loop
        self._reading = False
        self._writing = False
        self._fresh = False
        self._received: bytes | OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.arrived = 0.0

    async def connect(self, address: str, port: int) -> None:
        """Connect, and begin to read.

        Raises:
            OSError: it could not be done.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        code = self._socket.connect_ex((address, port))
        if code == errno.EINPROGRESS:
            await self._until_writable()
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            self.arrived = _established(self._socket, started)
            # Before the writer goes: the loop then changes what it polls for, and need not
            # forget the socket and learn it again.
            self._start_reading()
        if self._writing:
            self._stop_writing()
        if code:
            raise OSError(code, os.strerror(code))

    def has_spoken(self) -> bool:
        """Return whether bytes have come that nobody has received."""
        return self._received is not None

    async def send(self, data: bytes | memoryview) -> memoryview:
        """Hand bytes to the kernel, all of them unless something comes in first.

        Returns:
            What is left: who is asked to take more than there is room for may answer
            before it has, and would be waited for in vain.

        Raises:
            OSError: the connection is gone.
        """
        sent = self._try_send(data)
        left = memoryview(data)[sent:]
        while left and self._received is None:
            if not self._reading:
                self._start_reading()
            await self._until_writable()
            self._stop_writing()
            if self._received is None:
                left = left[self._try_send(left) :]
        return left

    async def receive(self) -> bytes:
        """Return what has come, as soon as anything has; nothing at the end.

        Raises:
            OSError: the connection broke.
        """
        if self._received is None:
            if self._reading and not self._fresh:
                # uvloop tells of a connection that broke once, whatever was left to be read.
                self._stop_reading()
            if not self._reading:
                self._start_reading()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        received, self._received = self._received, None
        if isinstance(received, OSError):
            raise received
        assert received is not None
        return received

    def lateness(self) -> float:
        """Return for how many seconds the last bytes have waited for us."""
        return max(0.0, time.perf_counter() - self.arrived)

    def close(self) -> None:
        """Close at once; what has not been read is lost."""
        if self._fd < 0:
            return
        if self._reading:
            self._stop_reading()
        if self._writing:
            self._stop_writing()
        self._fd = -1
        self._socket.close()

    def _try_send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def _until_writable(self) -> None:
        self._waiter = self._loop.create_future()
        self._loop.add_writer(self._fd, self._wake)
        self._writing = True
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _start_reading(self) -> None:
        self._loop.add_reader(self._fd, self._readable)
        self._reading = self._fresh = True

    def _stop_reading(self) -> None:
        self._loop.remove_reader(self._fd)
        self._reading = False

    def _stop_writing(self) -> None:
        self._loop.remove_writer(self._fd)
        self._writing = False

    def _readable(self) -> None:
        self._fresh = False
        if self._received is not None:
            # Nobody has come for the last: the rest waits in the kernel, which slows the peer.
            self._stop_reading()
            return
        try:
            data, ancillary, _, _ = self._socket.recvmsg(RECEIVE_BYTES, _STAMP_SPACE)
        except BlockingIOError:
            return
        except OSError as error:
            self._received = error
            self.arrived = time.perf_counter()
        else:
            self._received = data
            self.arrived = _instant_of(ancillary)
        self._wake()


async def connect(address: str, port: int, loop: asyncio.AbstractEventLoop) -> Wire:
    """Return a connection to an address, which has been judged already.

    Raises:
        OSError: there is none.
    """
    _keep_the_stamps_on()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    wire = Wire(socket.socket(family, _KIND), loop)
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


def _established(made: socket.socket, started: float) -> float:
    """Return when the handshake was complete, on ``time.perf_counter``."""
    now = time.perf_counter()
    info = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
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
