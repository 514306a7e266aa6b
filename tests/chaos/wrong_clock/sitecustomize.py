"""Python runs this at the start of every process of a cluster under test: its clock can be wrong.

Where the folder of the test holds ``clock-<part>``, the wall clock of that part's processes is
wrong by so many seconds, from that moment on. Nothing of the product knows of it.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PARTS = ("worker", "beat", "gunicorn")
_WALL = time.time() - time.monotonic()
_travels: list[Any] = []
_told: list[str] = []


def _watch(path: Path) -> None:
    import time_machine

    while True:
        try:
            told = path.read_text(encoding="ascii")
        except OSError:
            told = ""
        if told and told != (_told[-1] if _told else "0"):
            _told.append(told)
            while _travels:
                _travels.pop().stop()
            if float(told):
                there = _WALL + time.monotonic() + float(told)
                _travels.append(time_machine.travel(there, tick=True))
                _travels[-1].start()
        threading.Event().wait(0.2)


def _start() -> None:
    folder = os.environ.get("CHAOS_FOLDER")
    part = next((part for part in _PARTS if part in sys.orig_argv), None)
    if folder and part:
        path = Path(folder) / f"clock-{part}"
        threading.Thread(target=_watch, args=(path,), daemon=True).start()


_start()
os.register_at_fork(after_in_child=_start)
