"""What a transaction does last, since others wait from then on until it ends.

A caller that has more to do in the same transaction than the services know of, such as to make
and keep an answer, says so; then it is they who say when the end has come.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

Work = Callable[[], None]

_put_off: Final[ContextVar[list[Work] | None]] = ContextVar("put_off", default=None)


def at_the_end(work: Work) -> None:
    """Do the work now, or where ``endings`` was asked for it, when that caller does it."""
    works = _put_off.get()
    if works is None:
        work()
    else:
        works.append(work)


@contextmanager
def endings() -> Iterator[Callable[[], None]]:
    """Put off what is to come at the end of the transaction that the caller has open.

    Gives what does it all. Without a call nothing is done: for a transaction that is rolled back.
    """
    works: list[Work] = []

    def end() -> None:
        while works:
            works.pop(0)()

    token = _put_off.set(works)
    try:
        yield end
    finally:
        _put_off.reset(token)
