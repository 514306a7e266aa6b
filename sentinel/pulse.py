"""A file per process that says when it last worked, for health checks that cost next to nothing.

``python -m sentinel.pulse worker|control|beat`` exits 0 while every such process of this
folder's cluster on this host works: a worker or control has consumed a message lately, Beat has
published one. It imports nothing of Celery or Django, so it starts in tens of milliseconds.

The instants are of the clock that only goes on: one that is put would hide what is dead, and
bury what lives. Who is alive holds a lock on his file, so what a killed process left behind
neither hides another nor counts against it.
"""

import fcntl
import os
import re
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FRESH_SECONDS: Final = {"worker": 20.0, "control": 60.0, "beat": 20.0}
"""How long ago the last sign may be. Control tightens indexes for up to 45 s in one task."""

_WIDTH: Final = 20


class Pulse:
    """The file of this process: opened and locked by it, written by it and its children.

    A full or read-only disk must not stop the work: errors are left to the reader.

    Args:
        role: ``worker``, ``control`` or ``beat``.
        node: which of them, such as the worker's name.
    """

    def __init__(self, role: str, node: str) -> None:
        self._path = _path(role, node)
        self._file = -1
        for stale, _, locked in _files(role):
            if not locked:
                stale.unlink(missing_ok=True)
        try:
            for _ in range(50):
                if self._open():
                    return
                time.sleep(0.02)
        except OSError:
            return

    def _open(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        file = os.open(self._path, flags, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody looks whether it is locked
            os.close(file)
            return False
        if not os.fstat(file).st_nlink:  # somebody took it for one left behind, before that
            os.close(file)
            return False
        self._file = file
        return True

    def beat(self) -> None:
        """Show that work was done just now."""
        try:
            os.pwrite(self._file, f"{time.monotonic():{_WIDTH}.3f}".encode(), 0)
        except OSError:
            return

    def leave_lock(self) -> None:
        """Leave the lock to the parent, in a child that was forked: it may outlive it."""
        try:
            os.close(self._file)
            self._file = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
        except OSError:
            self._file = -1

    def end(self) -> None:
        """Leave nothing behind."""
        self._path.unlink(missing_ok=True)


def ages(role: str) -> dict[str, float | None]:
    """Return how many seconds ago each living process of a role worked last; None for never."""
    now = time.monotonic()
    return {
        node: None if at is None else max(0.0, now - at)
        for (_, node, locked), at in ((found, _read(found[0])) for found in _files(role))
        if locked
    }


def complaint(role: str) -> str | None:
    """Return what is wrong with a role on this host, in words; None if it is ready."""
    found = ages(role)
    if not found:
        return f"no {role} is running"
    for node, age in sorted(found.items()):
        verb = "published" if role == "beat" else "consumed"
        if age is None:
            return f"{node} has {verb} nothing yet"
        if age > FRESH_SECONDS[role]:
            return f"{node} has {verb} nothing for {age:.0f} s"
    return None


def _folder() -> Path:
    return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - the one place that can always be written


def _prefix(role: str) -> str:
    # Several clusters may run on one host, each with a data folder of its own.
    folder = Path(os.environ.get("SENTINEL_DATA_DIR") or ".sentinel").absolute()
    return f"sentinel-{zlib.crc32(os.fsencode(folder)):08x}-{os.getuid()}-{role}-"


def _path(role: str, node: str) -> Path:
    return _folder() / f"{_prefix(role)}{re.sub(r'[^A-Za-z0-9_.@-]', '_', node)}.pulse"


def _files(role: str) -> Iterator[tuple[Path, str, bool]]:
    """Yield each file of a role with its node, and whether a living process holds it."""
    prefix = _prefix(role)
    for path in _folder().glob(f"{prefix}*.pulse"):
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            locked = False
        except OSError:
            locked = True
        finally:
            os.close(file)
        yield path, path.name[len(prefix) : -len(".pulse")], locked


def _read(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def main() -> int:
    """Return 0 if the role named on the command line is ready on this host, else 1."""
    if len(sys.argv) != 2 or sys.argv[1] not in FRESH_SECONDS:
        print("usage: python -m sentinel.pulse worker|control|beat", file=sys.stderr)  # noqa: T201 - a command
        return 2
    wrong = complaint(sys.argv[1])
    if wrong is not None:
        print(wrong)  # noqa: T201 - `docker inspect` shows it
    return 0 if wrong is None else 1


if __name__ == "__main__":
    sys.exit(main())
