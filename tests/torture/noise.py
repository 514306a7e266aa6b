"""Whether the machine, and not the probe, was slow: what is seen then is no evidence."""

import threading
import time
from types import TracebackType
from typing import Final, Self

STEP: Final = 0.02
"""Seconds between two looks at the clock."""

LATE: Final = 0.1
"""Seconds after which a look counts as kept from its turn."""


class Noise:
    """A thread that notes when this process did not get the processor.

    A loop that its own work holds up does not disturb it: the interpreter changes threads
    every few milliseconds.
    """

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="noise")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def since(self, begin: float) -> bool:
        """Return whether this process was kept waiting after ``begin`` (time.monotonic)."""
        return any(end > begin for _, end in self._spans)

    def _look(self) -> None:
        before = time.monotonic()
        while not self._over.wait(STEP):
            now = time.monotonic()
            if now - before > STEP + LATE:
                self._spans.append((before, now))
            before = now
