"""This machine's network, put back as it was before a Docker daemon changed it."""

import json
import logging
import subprocess
from pathlib import Path

logger = logging.getLogger(__name__)

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
BRIDGE = "docker0"


def remember(memory: Path) -> None:
    """Write to ``memory`` what a daemon is going to change: rules, forwarding, its bridge.

    A file rather than a variable, since the next run has to put back what a killed one left.
    """
    saved = subprocess.run(
        ["iptables-save"], capture_output=True, text=True, timeout=30, check=False
    )
    before = {
        "rules": saved.stdout if saved.returncode == 0 else None,
        "forwarding": FORWARDING.read_text(),
        "bridge": _has_bridge(),
    }
    memory.write_text(json.dumps(before))


def restore(memory: Path) -> None:
    """Take away what the daemon made, if ``memory`` is there to tell; the daemon has ended."""
    if not memory.exists():
        return
    before = json.loads(memory.read_text())
    if _has_bridge() and not before["bridge"]:
        quietly("ip", "link", "delete", BRIDGE)
    if before["rules"] is not None:
        for table in ("filter", "nat"):
            # A table that did not exist is not in what was saved: restoring would not empty it.
            if f"*{table}\n" not in before["rules"]:
                quietly("iptables", "-t", table, "--flush")
                quietly("iptables", "-t", table, "--delete-chain")
        if "*filter\n" not in before["rules"]:
            quietly("iptables", "--policy", "FORWARD", "ACCEPT")
        quietly("iptables-restore", text=before["rules"])
    FORWARDING.write_text(before["forwarding"])
    memory.unlink()


def mtu_outwards() -> int:
    """Return the MTU of the default route: larger packets from containers would be lost."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination = line.split()[:2]
        if destination == "00000000":
            return int(Path(f"/sys/class/net/{interface}/mtu").read_text())
    return 1500


def quietly(*command: str, text: str | None = None) -> None:
    """Run a command of a clean-up: what it cannot do is a warning, and the rest goes on."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode != 0:
        logger.warning("%s: %s", " ".join(command), done.stderr.strip())


def _has_bridge() -> bool:
    return Path(f"/sys/class/net/{BRIDGE}").exists()
