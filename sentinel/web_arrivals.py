"""A request as its bytes arrive: when there is enough of it for a thread to begin.

A thread that waits for a client serves nobody else, and a handful of clients who never end what
they began would stop the API. So requests are collected without one. What is collected is parsed
by gunicorn: here is told only where a request ends, and what is no HTTP is handed over at once,
to be refused there.
"""

import re
from typing import Final

LARGEST_BODY: Final = 1_048_576
"""Bytes; larger bodies are refused by what their head says, so nobody waits for them."""

_LONGEST_LINE: Final = 4096
_LONGEST_HEAD: Final = 1_000_000
"""Both a little more than gunicorn takes: what is longer is refused without its end."""

_END: Final = b"\r\n\r\n"
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,19})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Arrival:
    """What has arrived of one request, and perhaps of those after it.

    Args:
        now: a monotonic instant, in seconds; when its first byte came, or its wait began.
    """

    def __init__(self, now: float) -> None:
        self.began = now
        self.bytes = bytearray()
        self.is_ready = False
        """Whether a thread can begin: all is there, or will be refused by what is."""

        self.is_whole = False
        """Whether all is there: behind it the next request may follow."""

        self.awaits_leave = False
        """Whether the client asks to be told that its body is wanted (RFC 9110, 10.1.1)."""

        self._head: int | None = None
        self._length = 0

    def add(self, data: bytes) -> None:
        """Take in what has arrived."""
        before = len(self.bytes)
        self.bytes += data
        if self._head is None:
            self._look_for_head(before)
        if self._head is not None and not self.is_ready:
            self.is_ready = self.is_whole = len(self.bytes) >= self._head + self._length

    def _look_for_head(self, before: int) -> None:
        # Only what is new: who sends a byte at a time should cost no more for it.
        end = self.bytes.find(_END, max(0, before - 3))
        if end < 0:
            line = self.bytes.find(b"\r\n", 0, _LONGEST_LINE)
            self.is_ready = (
                _BARE_LINE_FEED.search(self.bytes, before) is not None
                or (line < 0 and len(self.bytes) >= _LONGEST_LINE)
                or len(self.bytes) >= _LONGEST_HEAD
            )
            return
        self._head = end + len(_END)
        head = bytes(self.bytes[: end + 2])
        lengths = _LENGTH.findall(head)
        if len(lengths) == 1 and not _CHUNKED.search(head):
            self._length = int(lengths[0])
        if self._length > LARGEST_BODY or len(lengths) > 1 or _CHUNKED.search(head):
            self.is_ready = True
        self.awaits_leave = _EXPECTS.search(head) is not None
