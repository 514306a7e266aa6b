"""Bodies of requests: JSON, and where they are not, the place at which it ends."""

import json
from typing import Any

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
