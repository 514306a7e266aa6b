"""Where limits are counted in Redis: what is taken and what is left, in one round trip.

``limits`` takes by one script and tells by another; here both are run by one, as they are, so what
is told is of that very moment.
"""

import threading
from typing import Any, Final

from limits.storage import RedisStorage

_BOTH: Final = b"\n".join(
    (
        b"local function take()",
        RedisStorage.SCRIPT_ACQUIRE_SLIDING_WINDOW,
        b"end",
        # Its arguments stand at other places.
        b"local function window(ARGV)",
        RedisStorage.SCRIPT_SLIDING_WINDOW,
        b"end",
        b"local taken = take()",
        b"local known = window({ARGV[2]})",
        b"return {taken and 1 or 0, known[1], known[2], known[3], known[4]}",
    )
)


class OneTripStorage(RedisStorage):
    """The library's storage, which keeps what it was told with the last taking of a thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._both = self.get_connection().register_script(_BOTH)
        self._told = threading.local()

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Take, and keep what is left for whoever asks for it next."""
        names = (self._previous_window_key(key), self._current_window_key(key))
        keys = [self.prefixed_key(name) for name in names]
        taken, before, before_ms, now, now_ms = self._both(keys, [limit, expiry, amount])
        self._told.window = (
            key,
            (
                int(before or 0),
                max(0, int(before_ms or 0)) / 1000,
                int(now or 0),
                max(0, int(now_ms or 0)) / 1000,
            ),
        )
        return bool(taken)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return what was kept of a key, once; else ask."""
        kept, window = getattr(self._told, "window", ("", (0, 0.0, 0, 0.0)))
        self._told.window = ("", window)
        return window if kept == key else super().get_sliding_window(key, expiry)
