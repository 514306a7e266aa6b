"""What is said of an exception in a log: where it arose, and words that quote no value.

Messages of exceptions quote what they are about: PostgreSQL a row that violates a constraint,
``int()`` a text that is no number, Pydantic a field. That may be a key, the value of a header or
a body, so those words are left out; the frames and the exception's class find the fault.
"""

import traceback
from collections.abc import Iterator
from typing import Any, Final, TextIO

from structlog.typing import ExcInfo

_OURS: Final = ("domains.", "monitoring.", "sentinel.")
_MOST: Final = 20
"""Of one chain; a defect can make it endless."""

UNTOLD: Final = "(its words may quote values: not shown)"

# PostgreSQL's "data exception": its message quotes the datum.
_DATA: Final = "22"


def words_of(error: BaseException) -> str:
    """Return what an exception says of itself, in one line, without values it may quote."""
    # By their names: a command that needs no database should not wait for its library.
    if type(error).__module__.startswith(("django.db.utils", "psycopg")):
        return _of_database(error)
    quotes = isinstance(error, ValueError | LookupError | UnicodeError)
    if quotes and not type(error).__module__.startswith(_OURS):
        return UNTOLD
    return " ".join(str(error).split()) or type(error).__name__


def _of_database(error: BaseException) -> str:
    # Django's errors are made of psycopg's, which know the parts of the message.
    cause: Any = error if hasattr(error, "diag") else error.__cause__
    if getattr(cause, "sqlstate", None) is None:
        # From the client's side: a connection that failed, which has no values.
        return (str(error).splitlines() or [type(error).__name__])[0]
    if cause.sqlstate.startswith(_DATA):
        return f"SQLSTATE {cause.sqlstate} {UNTOLD}"
    return f"SQLSTATE {cause.sqlstate}: {cause.diag.message_primary}"


def write_traceback(output: TextIO, exc_info: ExcInfo) -> None:
    """Write an exception with what led to it, as Python does, but for the words that quote."""
    _, error, _ = exc_info
    if error is not None:
        output.write("\n".join(_lines(error)))


def _lines(error: BaseException) -> Iterator[str]:
    chain: list[tuple[BaseException, str]] = []
    link: BaseException | None = error
    lead = ""
    while link is not None and len(chain) < _MOST:
        chain.append((link, lead))
        if link.__cause__ is not None:
            link, lead = link.__cause__, "The above exception was the direct cause of this one:"
        elif link.__context__ is not None and not link.__suppress_context__:
            link, lead = link.__context__, "During the handling of the above another occurred:"
        else:
            link = None
    # A link's lead stands between it and what came of it, which is written after it.
    for place in range(len(chain) - 1, -1, -1):
        each, lead = chain[place]
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(each.__traceback__)).rstrip()
        yield f"{type(each).__module__}.{type(each).__qualname__}: {words_of(each)}"
        if isinstance(each, BaseExceptionGroup):
            for member in each.exceptions[:_MOST]:
                yield from _lines(member)
        if lead:
            yield f"\n{lead}\n"
