"""An answer's body: counted as it comes, kept and unpacked only for who asks for it."""

import zlib
from collections.abc import Awaitable, Callable
from typing import Final

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_BITS: Final = zlib.MAX_WBITS | 16
_GZIP_MAGIC: Final = b"\x1f\x8b"
_MOST_MEMBERS: Final = 100


class TooLarge(Exception):  # noqa: N818 - a failing target, turned into an Outcome
    """The body passes its limit; the message says which."""


class Kept:
    """A body that an assertion looks at.

    Args:
        coding: the Content-Encoding, as it came.
        limit: how many bytes, unpacked, are taken.
    """

    def __init__(self, coding: str, limit: int) -> None:
        self.problem: str | None = None
        """Why it could not be unpacked."""
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._unpack: _Inflate | None = None
        coding = coding.strip().lower()
        if coding in _GZIP:
            self._unpack = _Inflate(gzip=True)
        elif coding == "deflate":
            self._unpack = _Inflate(gzip=False)
        elif coding not in ("", "identity"):
            self.problem = (
                f"its encoding {coding[:40]!r} is not read here: "
                "ask for another with the header Accept-Encoding: identity"
            )

    def take(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            TooLarge: unpacked, it is more than the limit.
        """
        if self.problem is not None:
            return
        if self._unpack is not None:
            try:
                part = self._unpack(part, self._limit - self._size + 1)
            except zlib.error as error:
                self.problem = f"it cannot be unpacked ({error})"
                self._parts.clear()
                return
        self._size += len(part)
        if self._size > self._limit:
            raise TooLarge(f"unpacked, the body is larger than {self._limit} bytes")
        self._parts.append(part)

    def end(self) -> bytes | None:
        """Return the whole of it, None where it could not be unpacked."""
        if self._unpack is not None and self._parts and not self._unpack.complete:
            self.problem = self.problem or "packed, it breaks off before its end"
        return b"".join(self._parts) if self.problem is None else None


class _Inflate:
    """Unpacking that never makes more than it is asked for."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._head = b""
        self._members = 1
        self._object = zlib.decompressobj(_GZIP_BITS) if gzip else None

    @property
    def complete(self) -> bool:
        """Whether the end of what was packed has come."""
        return self._object is not None and self._object.eof

    def __call__(self, part: bytes, room: int) -> bytes:
        if self._object is None:
            self._head += part
            if len(self._head) < 2:
                return b""
            # Some servers mean the bare algorithm by the name (RFC 9110, 8.4.1.2): it has
            # not the two bytes that begin the other (RFC 1950, 2.2).
            wrapped = self._head[0] & 15 == 8 and int.from_bytes(self._head[:2], "big") % 31 == 0
            self._object = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
            part = self._head
        made = self._object.decompress(part, room)
        while self._gzip and self._object.eof and len(made) < room:
            # Several members follow each other as one (RFC 1952, 2.2); what is none is padding.
            part = self._object.unused_data
            if not part.startswith(_GZIP_MAGIC):
                break
            self._members += 1
            if self._members > _MOST_MEMBERS:
                raise zlib.error(f"more than {_MOST_MEMBERS} members of gzip")
            self._object = zlib.decompressobj(_GZIP_BITS)
            made += self._object.decompress(part, room - len(made))
        return made


async def read(
    chunk: Callable[[], Awaitable[bytes | None]],
    *,
    limit: int,
    kept: Kept | None,
    count: Callable[[int], None],
) -> None:
    """Read a body to its end.

    Args:
        chunk: returns the next part, None after the last.
        limit: how many bytes, packed, are read.
        kept: what else is given each part.
        count: told the bytes so far, also of a body that breaks off.

    Raises:
        TooLarge: it is more than that.
    """
    size = 0
    while (part := await chunk()) is not None:
        size += len(part)
        count(size)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        if kept is not None:
            kept.take(part)
