"""blackbox_exporter alone, and with Prometheus that scrapes it and stores what it says.

Both as Debian installs them (``prometheus``, ``prometheus-blackbox-exporter``), each run as a child
with a configuration, a folder and ports of its own.
"""

import shutil


def prometheus() -> str | None:
    """Return the path of Prometheus, None where it is not installed."""
    return shutil.which("prometheus")


def blackbox() -> str | None:
    """Return the path of blackbox_exporter, None where it is not installed."""
    return shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
