"""A heartbeat file per process, for container health checks that must cost next to nothing.

``python -m sentinel.pulse worker`` exits 0 while the worker on this host is alive. It
imports nothing of Sentinel, Django or Celery, so it starts in tens of milliseconds.
"""

import sys
import tempfile
import time
from pathlib import Path

FRESH_SECONDS = 20


def path_of(name: str) -> Path:
    """Return the file whose modification time is the last sign of life of ``name``."""
    return Path(tempfile.gettempdir()) / f"sentinel-{name}.pulse"


def touch(name: str) -> None:
    """Show life. A full or read-only disk must not stop the work: errors are left to the reader."""
    try:
        path_of(name).touch()
    except OSError:
        return


def main() -> int:
    """Return 0 if the process named on the command line showed life lately, else 1."""
    if len(sys.argv) != 2:
        print("usage: python -m sentinel.pulse worker|beat", file=sys.stderr)  # noqa: T201 - a command
        return 2
    try:
        age = time.time() - path_of(sys.argv[1]).stat().st_mtime
    except OSError:
        return 1
    return 0 if age < FRESH_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
