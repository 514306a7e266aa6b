"""A body as text or JSON, within bounds: its server chose the bytes and what it calls them."""

import json
import re
from typing import Final

MAX_TEXT_BYTES: Final = 1024 * 1024
"""How much is decoded and matched; looking for a plain text in UTF-8 has no such bound."""
MAX_JSON_BYTES: Final = 512 * 1024
"""The worst document of that size (``[1],[1],…``) takes some 30 ms and 13 MB to parse."""

_BINARY_SAMPLE: Final = 8192
_CHARSET: Final = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
# A list, because Python's own has codecs that are slow (punycode), that are none (idna,
# unicode_escape), and remembers every wrong name for ever.
_CHARSETS: Final = frozenset(
    {
        *(f"iso-8859-{part}" for part in range(1, 17) if part != 12),
        *(f"windows-125{part}" for part in range(9)),
        *("latin1", "koi8-r", "koi8-u", "ibm866", "utf-16", "utf-16le", "utf-16be"),
        *("big5", "gb2312", "gbk", "gb18030", "euc-jp", "euc-kr", "iso-2022-jp", "shift_jis"),
    }
)
_MARKS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class NotReadable(Exception):  # noqa: N818 - an answer's fault, which fails an assertion
    """What was to be searched cannot be; the message says why, without quoting it."""


def as_text(body: bytes, content_type: bytes) -> bytes:
    """Return a body's text in UTF-8, whatever its charset.

    A charset that is not named or not known is UTF-8; what cannot be decoded is U+FFFD.

    Raises:
        NotReadable: it is not text, or it is large and must be decoded.
    """
    charset = _charset(body, content_type)
    if charset == "utf-8":
        text = body.removeprefix(b"\xef\xbb\xbf")
        if len(text) <= MAX_TEXT_BYTES:
            try:
                text.decode()
            except UnicodeDecodeError:
                text = text.decode(errors="replace").encode()
    else:
        if len(body) > MAX_TEXT_BYTES:
            raise NotReadable(
                f"the body of {len(body)} bytes is too large to be read as {charset} "
                f"(at most {MAX_TEXT_BYTES})"
            )
        text = body.decode(charset, "replace").encode(errors="replace")
    if b"\0" in text[:_BINARY_SAMPLE]:
        raise NotReadable("the body is not text but binary")
    return text


def _charset(body: bytes, content_type: bytes) -> str:
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return charset
    found = _CHARSET.search(content_type[:500])
    name = found[1].decode().lower() if found else ""
    return name if name in _CHARSETS else "utf-8"


class _NoValue(Exception):  # noqa: N818 - never leaves this module
    """``NaN`` or ``Infinity``, which Python's parser takes for numbers."""


def _no_value(literal: str) -> object:
    raise _NoValue(literal)


_DECODER: Final = json.JSONDecoder(parse_constant=_no_value)


def as_json(body: bytes) -> object:
    """Return a JSON document (RFC 8259), of equal names in an object the last.

    Raises:
        NotReadable: it is not one, or larger or deeper than is read.
    """
    if len(body) > MAX_JSON_BYTES:
        raise NotReadable(
            f"the body of {len(body)} bytes is too large to be read as JSON "
            f"(at most {MAX_JSON_BYTES})"
        )
    if not body.strip():
        raise NotReadable("the body is empty, not JSON")
    try:
        return _DECODER.decode(body.removeprefix(b"\xef\xbb\xbf").decode())
    except UnicodeDecodeError as error:
        words = f"byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        words = f"{error.msg.lower()} at line {error.lineno} column {error.colno}"
    except _NoValue as error:
        words = f"it has no value {error}"
    except RecursionError:
        words = "it is nested too deeply"
    except ValueError:
        words = "a number has too many digits"
    raise NotReadable(f"the body is not JSON: {words}")
