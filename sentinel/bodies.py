"""Bodies of requests: JSON, and where they are not, the place at which it ends."""

import json
import re
from typing import Any, Final

from django.http import HttpRequest
from ninja.parser import Parser


class UnreadableBody(ValueError):  # noqa: N818 - bad input, answered as such
    """A body that is not JSON; the words say where, and repeat none of it."""


class BodyParser(Parser):
    """Reads JSON; NaN, which is none, is left to the fields: they say which of them has it."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return the value of a body.

        Raises:
            UnreadableBody: it is not JSON.
        """
        try:
            return json.loads(request.body)
        except json.JSONDecodeError as error:
            words = error.msg[:1].lower() + error.msg[1:]
            raise UnreadableBody(
                f"the body is not JSON: {words} at line {error.lineno}, column {error.colno}"
            ) from None
        except UnicodeDecodeError as error:
            raise UnreadableBody(
                f"the body is not JSON: byte {error.start + 1} is not UTF-8"
            ) from None
        except RecursionError:
            raise UnreadableBody(
                "the body is not JSON that is read: it is nested too deep"
            ) from None
        except ValueError:  # of a number with thousands of digits
            raise UnreadableBody("the body has a number that is too long") from None


class UnsupportedMediaType(ValueError):  # noqa: N818 - bad input, answered as such
    """The Content-Type of a body is not one that is read."""


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
    """
    kind = media_type(request)
    if kind in ("", FORM) or _JSON.fullmatch(kind) or not request.body:
        return
    raise UnsupportedMediaType
