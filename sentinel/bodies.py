"""Bodies of requests: JSON, and where they are not, the place at which it ends."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from django.http import HttpRequest
from ninja.parser import Parser


class UnreadableBody(ValueError):  # noqa: N818 - bad input, answered as such
    """A body that is not JSON; the words say where, and repeat none of it."""


class _Repeated(ValueError):  # noqa: N818 - not seen outside this module
    """An object has a member twice."""


_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class BodyParser(Parser):
    """Reads JSON; NaN, which is none, is left to the fields: they say which of them has it."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return the value of a body.

        Raises:
            UnreadableBody: it is not JSON.
        """
        return read_json(request.body)


def read_json(body: bytes) -> Any:
    """Return the value of JSON in UTF-8, whose objects name each member once (RFC 7493).

    Of a member that comes twice readers take the first, the last or both: what is between a
    client and this API would judge another value than the one that counts here.

    Raises:
        UnreadableBody: it is not JSON.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_members)
    except json.JSONDecodeError as error:
        words = error.msg[:1].lower() + error.msg[1:]
        raise UnreadableBody(
            f"the body is not JSON: {words} at line {error.lineno}, column {error.colno}"
        ) from None
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"the body is not JSON: byte {error.start + 1} is not UTF-8") from None
    except RecursionError:
        raise UnreadableBody("the body is not JSON that is read: it is nested too deep") from None
    except _Repeated as error:
        raise UnreadableBody(str(error)) from None
    except ValueError:  # of a number with thousands of digits
        raise UnreadableBody("the body has a number that is too long") from None


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = set()
        for name, _ in pairs:
            if name in names:
                # A long or strange one may be a value in the wrong place.
                shown = f" {name}" if _PLAIN_NAME.fullmatch(name) else ""
                raise _Repeated(f"an object of the body has the member{shown} twice: leave one")
            names.add(name)
    return members


class UnsupportedMediaType(ValueError):  # noqa: N818 - bad input, answered as such
    """The Content-Type of a body is not one that is read."""


class UnsupportedContentCoding(ValueError):  # noqa: N818 - bad input, answered as such
    """A body is said to be compressed, which none is read as (RFC 9110, 15.5.16)."""


FORM: Final = "application/x-www-form-urlencoded"
"""What curl says of whatever it sends with ``-d``, JSON too."""

_JSON: Final = re.compile(r"application/(json|[!#$&^_.+a-z0-9-]+\+json)")


def media_type(request: HttpRequest) -> str:
    """Return what the body is said to be, in lower case, without parameters; empty if nothing."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def refuse_media_type(request: HttpRequest) -> None:
    """Judge what a body is said to be; no body is of no type.

    Raises:
        UnsupportedMediaType: it is not said to be JSON, nor to be what clients say by default.
        UnsupportedContentCoding: it is said to be compressed.
    """
    if not request.body:
        return
    kind = media_type(request)
    if kind not in ("", FORM) and not _JSON.fullmatch(kind):
        raise UnsupportedMediaType
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise UnsupportedContentCoding
