"""Who is who among the cluster's processes, and what each of them has spent and holds."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.cluster import command_of, descendants
from tests.benchmarks.measure import cpu_seconds, own_cpu_seconds

POSTGRES: Final = "PostgreSQL "
"""What the roles of PostgreSQL's processes begin with."""

TARGET: Final = "target"
OURSELVES: Final = "this program"
BESIDE: Final = (TARGET, OURSELVES)
"""Not of the cluster."""

_POSTGRES_TITLE: Final = re.compile(r"postgres: (.*)")
_OWN_KINDS: Final = (
    "checkpointer",
    "background writer",
    "walwriter",
    "autovacuum launcher",
    "autovacuum worker",
    "parallel worker",
    "io worker",
    "logical replication launcher",
)
"""PostgreSQL's processes that are no client's; their titles may go on after it."""


_BY_WORD: Final = {
    "postgres": f"{POSTGRES}postmaster",
    "valkey-server": "Redis",
    "redis-server": "Redis",
    "gunicorn": "API",
    "up": "supervisor",
}


def role_of(command: Sequence[str], parent: str | None) -> str | None:
    """Return what a process is to the cluster; None while it is not to be told.

    Args:
        command: its command line; PostgreSQL's and Valkey's processes put their titles there.
        parent: the role of the process that started it.
    """
    if not command:
        return None
    if title := _POSTGRES_TITLE.match(command[0]):
        kind = next((kind for kind in _OWN_KINDS if title[1].startswith(kind)), "backends")
        return POSTGRES + kind
    if "celery" in command:
        return _celery_role(command, parent)
    program = Path(command[0].partition(" ")[0]).name
    words = {program, *command}
    return next((role for word, role in _BY_WORD.items() if word in words), parent)


def _celery_role(command: Sequence[str], parent: str | None) -> str:
    for name, role in (("beat", "Beat"), ("flower", "Flower")):
        if name in command:
            return role
    hostname = "worker"
    if "--hostname" in command:
        # Its first word: locations and numbers may follow, such as worker-local-4711@%h.
        hostname = re.split("[-@]", command[command.index("--hostname") + 1])[0]
    return f"{hostname} children" if parent in (hostname, f"{hostname} children") else hostname


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: resident, and resident with what is shared counted in parts (proc(5), smaps)."""

    rss: int
    pss: int


class Processes:
    """The processes below some roots, and this one by itself, from when this is made.

    Args:
        roots: a process each, with its role if its command line does not tell.
    """

    def __init__(self, roots: Mapping[int, str | None]) -> None:
        self._roots = roots
        self._began = time.process_time()
        self._roles: dict[int, str] = {}
        self._before: dict[int, float] = {}
        self._spent: dict[int, float] = {}
        self._trees_before = {root: cpu_seconds([root]) for root in roots}
        self.look()
        self._before = dict(self._spent)

    def look(self) -> None:
        """Note what each process has spent by now. One that is never seen is counted as ended."""
        for root, role in self._roots.items():
            for pid in sorted({root, *descendants(root)}):  # parents first, nearly always
                told = role or role_of(command_of(pid), self._roles.get(_parent_of(pid)))
                if told is not None:
                    self._roles[pid] = told
                try:
                    self._spent[pid] = own_cpu_seconds(pid)
                except OSError:  # it has ended
                    continue

    def cpu(self) -> dict[str, float]:
        """Return the seconds of CPU since this was made, by role.

        ``short-lived`` are processes that ended between two looks: known by what their
        parents have of them.
        """
        spent: dict[str, float] = defaultdict(float)
        for pid, seconds in self._spent.items():
            if pid in self._roles:
                spent[self._roles[pid]] += seconds - self._before.get(pid, 0.0)
        whole = sum(cpu_seconds([root]) - self._trees_before[root] for root in self._roots)
        spent["short-lived"] = max(0.0, whole - sum(spent.values()))
        spent[OURSELVES] = time.process_time() - self._began
        return dict(spent)

    def living(self) -> dict[str, list[int]]:
        """Return the processes that are there now, by role."""
        found: dict[str, list[int]] = defaultdict(list)
        for pid, role in self._roles.items():
            if Path(f"/proc/{pid}").exists():
                found[role].append(pid)
        return dict(found)


def memory(pids: Iterable[int]) -> Memory:
    """Return what these processes hold together."""
    rss = pss = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        held = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE))
        rss += int(held.get("Rss", 0)) * 1024
        pss += int(held.get("Pss", 0)) * 1024
    return Memory(rss, pss)


def machine_seconds() -> float:
    """Return the CPU time that the whole machine has spent since it started (proc(5))."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) / 100


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0
