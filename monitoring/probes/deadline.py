"""One deadline over everything that a check does: ``asyncio.timeout_at`` at a third of its cost."""

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """Cancels the task that enters it when the instant comes, and says so with TimeoutError.

    Args:
        loop: the running one.
        at: the instant on its clock, in seconds.
    """

    __slots__ = ("_at", "_before", "_handle", "_loop", "_task", "expired")

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._loop = loop
        self._at = at
        self.expired = False
        """Whether it has struck."""

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._handle = self._loop.call_at(self._at, self._strike)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        if (
            self.expired
            and self._task.uncancel() <= self._before
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def _strike(self) -> None:
        self.expired = True
        self._task.cancel()
