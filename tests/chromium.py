"""Debian's Chromium for the tests that use a real browser: found, or installed where it may be."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

# It asks nobody for names and does nothing by itself. Root has no sandbox in it.
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-features=OptimizationHints,MediaRouter,Translate,DialMediaRouteProvider",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
]


def names(*rules: str) -> str:
    """Return the flag by which ``rules`` alone say what a name is, and all others are not found."""
    return "--host-resolver-rules=" + ", ".join([*rules, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"])


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; the tests are skipped where it is absent and cannot be installed."""
    # Another worker of this run may be installing it, of which files are there before all are.
    with (Path(tempfile.gettempdir()) / "sentinel-tests-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return shutil.which("chromium") or _install()


def _install() -> str:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("there is no chromium here, and it is root on Debian who could install it")
    for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *command],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"chromium cannot be installed: {done.stderr[-300:]}")
    path = shutil.which("chromium")
    assert path, "apt-get installed chromium, and there is none"
    return path
