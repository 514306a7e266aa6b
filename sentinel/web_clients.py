"""The sockets of clients: how long a thread waits for one that does not read.

Most answers fit into the kernel's buffer, and the thread goes on. It waits for a reader of more
than that as long as he reads ``SLOWEST`` bytes a second, and ``PATIENCE_SECONDS`` beyond. All
threads of a process but one may wait so at a time; the last one gives up after a second, so that
slow readers, however many, stop nobody else.
"""

import errno
import select
import socket
import struct
import threading
import time
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 10.0
LAST_PATIENCE_SECONDS: Final = 1.0
SLOWEST: Final = 16_384
"""Bytes a second."""

_BLOCK: Final = 65_536


class ClientSocket(socket.socket):
    """A connection to a client, written to by a thread that does not wait for ever.

    Args:
        accepted: what it takes over.
        waiting: shared by all of a process: one less than it has threads.
    """

    def __init__(self, accepted: socket.socket, waiting: threading.Semaphore) -> None:
        super().__init__(fileno=accepted.detach())
        # Nothing is read by a thread but what has arrived. Should it be all the same: not for ever.
        seconds = struct.pack("ll", int(PATIENCE_SECONDS), 0)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        self._waiting = waiting
        self._waits = False
        self._left = PATIENCE_SECONDS
        self._most = PATIENCE_SECONDS

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of it.

        Raises:
            BrokenPipeError: the client reads too slowly; as if it had gone.
        """
        rest = memoryview(data)
        while rest:
            try:
                sent = self.send(rest, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait()
                continue
            rest = rest[sent:]
            if self._most == PATIENCE_SECONDS:
                self._left = min(self._most, self._left + sent / SLOWEST)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file as everything else: the kernel's own way would wait for ever."""
        file.seek(offset)
        sent = 0
        while block := file.read(_BLOCK if count is None else min(_BLOCK, count - sent)):
            self.sendall(block)
            sent += len(block)
        return sent

    def end_answer(self) -> None:
        """Begin anew with the next answer."""
        if self._waits:
            self._waiting.release()
        self._waits = False
        self._left = self._most = PATIENCE_SECONDS

    def _wait(self) -> None:
        if not self._waits and self._most == PATIENCE_SECONDS:
            self._waits = self._waiting.acquire(blocking=False)
            if not self._waits:
                self._left = self._most = LAST_PATIENCE_SECONDS
        began = time.monotonic()
        poll = select.poll()
        poll.register(self, select.POLLOUT)
        if self._left > 0:
            poll.poll(self._left * 1000)
        self._left -= time.monotonic() - began
        if self._left <= 0:
            log.warning("a client reads too slowly: its connection is ended")
            raise BrokenPipeError(errno.EPIPE, "the client reads too slowly")
