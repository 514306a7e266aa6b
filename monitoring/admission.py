"""How many checks a loop begins: as many as it can attend to, and no more.

A thousand begun at once would all be answered at once, and the last answer would be read a
thousand answers late: deadlines would strike for answers that are there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

STARTS_A_TURN: Final = 4
"""Begun in one turn of the loop. So few that what has arrived is read soon after."""

LONG_TURN_SECONDS: Final = 0.005
"""After a turn that took longer nothing is begun: first the loop catches up."""


class Admission(Generic[Item]):
    """Begins work on items in the order in which they come, at the loop's own pace.

    Args:
        loop: in which everything here happens.
        begin: makes the work on an item.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        begin: Callable[[Item], Coroutine[None, None, None]],
    ) -> None:
        self._loop = loop
        self._begin = begin
        self._waiting: deque[Item] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.lag = 0.0
        """How long the loop's last turn took in seconds, while items waited."""

    def admit(self, items: Iterable[Item]) -> None:
        """Take items in; return at once."""
        idle = not self._waiting
        self._waiting.extend(items)
        if idle and self._waiting:
            self._run(self._pace())

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _pace(self) -> None:
        while self._waiting:
            if self.lag <= LONG_TURN_SECONDS:
                for _ in range(min(STARTS_A_TURN, len(self._waiting))):
                    self._run(self._begin(self._waiting.popleft()))
            before = time.perf_counter()
            await asyncio.sleep(0)
            self.lag = time.perf_counter() - before
        self.lag = 0.0
