"""Which connections have news, asked of the kernel for all of them at once.

An event loop's own way costs a check four changes of what is polled for and an object for
each. Here a descriptor is named once, edge-triggered, for as long as it is open (epoll(7)),
and the loop itself polls one descriptor only: that of the set.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary, proxy, ref

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
BEYOND: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLPRI
"""An end, or urgent data: there is something behind the bytes that one read returns."""
_ALL: Final = IN | OUT | BEYOND | select.EPOLLET
_MOST_AT_ONCE: Final = 256
"""So few that the loop gets to what else it has to do."""


class Poller:
    """The connections of one loop.

    Args:
        loop: in which everything here happens.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._listeners: dict[int, Callable[[int], None]] = {}
        self._loop = proxy(loop)
        loop.add_reader(self._epoll.fileno(), self._tell)

    def watch(self, descriptor: int, listener: Callable[[int], None]) -> None:
        """Tell of every change: ``IN``, ``OUT``, and what is in ``BEYOND``, as a mask.

        What has been told is not told again before more of it happens: who does not read
        to the end has to remember that there is something left.
        """
        self._listeners[descriptor] = listener
        self._epoll.register(descriptor, _ALL)

    def forget(self, descriptor: int) -> None:
        """Stop telling; the descriptor is to be closed, which takes it from the kernel's set."""
        self._listeners.pop(descriptor, None)

    def close(self) -> None:
        """Tell nothing any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _tell(self) -> None:
        for descriptor, events in self._epoll.poll(0, _MOST_AT_ONCE):
            # One that was closed meanwhile by another's news is not there any more.
            listener = self._listeners.get(descriptor)
            if listener is not None:
                listener(events)


# Kept by its loop, which calls it: a loop that ends without closing what it has takes all along.
_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[Poller]] = WeakKeyDictionary()


def poller(loop: asyncio.AbstractEventLoop) -> Poller:
    """Return the loop's own, made at its first connection."""
    known = _pollers.get(loop)
    found = None if known is None else known()
    if found is None:
        found = Poller(loop)
        _pollers[loop] = ref(found)
    return found


def close(loop: asyncio.AbstractEventLoop) -> None:
    """Let go of a loop's own, if it has one, before the loop ends."""
    known = _pollers.pop(loop, None)
    if known is not None and (found := known()) is not None:
        found.close()
