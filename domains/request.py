"""What a check may send beside method and URL: header fields, a body, credentials. Pure rules.

Each rule raises or returns words that name the cure and never the value: it may be a secret.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from domains.weburl import normalise_url

MASK: Final = "********"
"""What the API answers in place of a secret; sent back, it stands for the stored one."""

MAX_HEADERS: Final = 50
MAX_NAME_CHARS: Final = 100
MAX_VALUE_CHARS: Final = 4096
MAX_HEADERS_CHARS: Final = 16 * 1024
MAX_BODY_BYTES: Final = 64 * 1024
MAX_USERNAME_CHARS: Final = 200
MAX_SECRET_CHARS: Final = 4096

BODILESS_METHODS: Final = ("GET", "HEAD")
"""Methods whose requests have no body (RFC 9110, 9.3.1 and 9.3.2)."""

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# RFC 9110, 5.5 lets a value be ISO-8859-1, but recipients disagree on what such bytes mean.
_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")  # CTL of RFC 5234, B.1
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

_FRAMING: Final = "it frames the message, which the probe does itself"
_CONNECTION: Final = "it speaks of the connection, which is the probe's own"
_REFUSED: Final = MappingProxyType(
    {
        "content-length": _FRAMING,
        "transfer-encoding": _FRAMING,
        "trailer": _FRAMING,
        "connection": _CONNECTION,
        "keep-alive": _CONNECTION,
        "te": _CONNECTION,
        "upgrade": _CONNECTION,
        "http2-settings": _CONNECTION,
        "expect": "the probe sends a body without waiting to be asked for it",
    }
)


def header_problems(headers: Mapping[str, str]) -> list[tuple[str | None, str]]:
    """Return what is wrong with header fields, as pairs of the field's name and words.

    The name is None where the whole is meant, and where a name is none that could be
    pointed at. Names are tokens, distinct without regard to case; values are visible ASCII
    with spaces inside (RFC 9110, 5.1 and 5.5). What frames the message or speaks of the
    connection is the probe's, not the operator's.
    """
    found: list[tuple[str | None, str]] = []
    if len(headers) > MAX_HEADERS:
        found.append((None, f"it has more than {MAX_HEADERS} header fields: leave some out"))
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADERS_CHARS:
        found.append(
            (None, f"its names and values have more than {MAX_HEADERS_CHARS} characters: cut some")
        )
    if len({name.lower() for name in headers}) != len(headers):
        found.append((None, "two names differ in case only, which HTTP does not see: keep one"))
    for number, (name, value) in enumerate(headers.items(), start=1):
        if not _TOKEN.fullmatch(name) or len(name) > MAX_NAME_CHARS:
            words = (
                f"name {number} is not a header's: write 1 to {MAX_NAME_CHARS} letters, digits "
                "and hyphens, such as X-Api-Key"
            )
            found.append((None, words))
        elif refusal := _refusal(name.lower(), value):
            found.append((name, refusal))
    return found


def _refusal(name: str, value: str) -> str | None:
    if name.startswith("proxy-"):
        return "it is for a proxy, and the probe uses none: leave it out"
    if name in _REFUSED:
        return f"{_REFUSED[name]}: leave it out"
    if len(value) > MAX_VALUE_CHARS:
        return f"the value is longer than {MAX_VALUE_CHARS} characters: shorten it"
    if not _VALUE.fullmatch(value):
        return (
            "the value must be visible ASCII characters, with spaces inside only: "
            "percent-encode what is not, and take line breaks out"
        )
    if name == "host" and value != MASK and not _is_authority(value):
        return (
            "the value must be a host or host:port, such as shop.example.org or [2001:db8::1]:8080"
        )
    return None


def _is_authority(text: str) -> bool:
    """Return whether a text is a host with or without a port (RFC 9110, 7.2)."""
    if not text or any(character in text for character in "/?#@"):
        return False
    try:
        normalise_url(f"http://{text}/")
    except ValueError:
        return False
    return True


def encode_body(body: Any) -> tuple[str, bool]:
    """Return a body as the text that is sent in UTF-8, and whether it was given as JSON.

    Args:
        body: a text, sent as it is; or a JSON object or array, sent in its compact form.

    Raises:
        ValueError: it is neither, or too large; the message is the cure.
    """
    as_json = isinstance(body, dict | list)
    if as_json:
        try:
            body = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except RecursionError:
            raise ValueError("it is nested too deeply: send it as text") from None
        except ValueError:
            words = "it holds NaN or Infinity, which JSON has not: write null or a number"
            raise ValueError(words) from None
    if not isinstance(body, str):
        words = "it must be a text, a JSON object or array, or null"
        raise ValueError(words)  # noqa: TRY004 - pydantic answers for ValueErrors alone
    if _SURROGATE.search(body):
        raise ValueError("it holds half of a surrogate pair, which UTF-8 has not: remove it")
    if len(body.encode()) > MAX_BODY_BYTES:
        raise ValueError(f"it is larger than {MAX_BODY_BYTES // 1024} KiB: shorten it")
    return body, as_json


def check_username(text: str) -> str:
    """Return a user name for basic authentication (RFC 7617, 2).

    Raises:
        ValueError: it cannot be sent; the message is the cure.
    """
    if ":" in text:
        raise ValueError("it has a colon, which ends a user name: remove it")
    return check_password(text)


def check_password(text: str) -> str:
    """Return a password for basic authentication (RFC 7617, 2).

    Raises:
        ValueError: it cannot be sent; the message is the cure.
    """
    if _CONTROL.search(text):
        raise ValueError("it has a control character, such as a line break: remove it")
    if _SURROGATE.search(text):
        raise ValueError("it holds half of a surrogate pair, which UTF-8 has not: remove it")
    return text


def check_token(text: str) -> str:
    """Return a bearer token (RFC 6750, 2.1), or the mask of one.

    Raises:
        ValueError: it cannot be sent; the message is the cure.
    """
    if text != MASK and not _TOKEN68.fullmatch(text):
        raise ValueError(
            "it must be letters, digits and -._~+/ with = at the end only: "
            "give the token alone, without the word Bearer"
        )
    return text
