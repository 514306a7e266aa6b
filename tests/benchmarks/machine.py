"""What the figures were measured on: the machine, and the version of everything that matters."""

import os
import platform
import re
import shutil
import ssl
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from OpenSSL import SSL

from sentinel import embedded
from tests.benchmarks import peers, target

_PACKAGES: Final = ("uvloop", "httptools", "httpx", "celery", "django", "psycopg", "cryptography")


def machine() -> dict[str, str]:
    """Return what the machine is."""
    return {
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of what is installed; what is not is left out."""
    found = {
        "python": platform.python_version(),
        "openssl of python": ssl.OPENSSL_VERSION.split()[1],
        "openssl of the probe": SSL.OpenSSL_version(SSL.OPENSSL_VERSION).split()[1].decode(),
        **{name: version(name) for name in _PACKAGES},
        "postgresql": _asked(embedded.postgres_argv(Path("/"))[0], "--version"),
        "valkey": _asked(embedded.valkey_argv(Path("/"))[0], "--version"),
        "nginx": _asked(target.nginx(), "-v"),
        "prometheus": _asked(peers.prometheus(), "--version"),
        "blackbox_exporter": _asked(peers.blackbox(), "--version"),
    }
    return {name: number for name, number in found.items() if number}


def commit() -> str:
    """Return the commit that was measured, with a mark where files differ from it."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _cpu_model() -> str:
    text = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _asked(program: str | None, option: str) -> str:
    """Return the first number that looks like a version in what a program says of itself."""
    if program is None:
        return ""
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""
