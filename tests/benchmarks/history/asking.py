"""Ask the product's WSGI application in this process, and note what each answer took."""

import gc
import io
import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.history.kinds import Kind, after
from tests.benchmarks.history.servers import API_KEY
from tests.benchmarks.measure import Failed, own_cpu_seconds

UNRELATED: Final = "/api/monitoring/ledger?domain_id=1"
"""Asked first after a restart: it connects, and has PostgreSQL read its own catalogue."""

_ROWS: Final = b"\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request gave.

    Attributes:
        seconds: from the call to the last byte.
        cpu: seconds of this process, and of its PostgreSQL backend.
        size: bytes of the body.
        rows: lines of it, which are rows of what is no JSON document.
    """

    seconds: float
    cpu: tuple[float, float]
    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The answers to one kind of request, cold or warm, and the process' peak of memory.

    ``grown`` are the bytes by which the resident memory rose above what it was before.
    """

    kind: str
    cold: bool
    answers: Sequence[Answer]
    statements: int
    grown: int


class Asker:
    """The API as one thread of it: with one connection to PostgreSQL."""

    def __init__(self) -> None:
        from sentinel.wsgi import application

        self._application: Any = application
        gc.collect()
        gc.freeze()  # as a worker of the API does

    def body(self, address: str) -> Any:
        """Return what stands behind an address, read from JSON.

        Raises:
            Failed: the answer is not 200.
        """
        return json.loads(b"".join(self._call(address, "application/json")))

    def ask(self, address: str, accept: str) -> Answer:
        """Ask once, reading the body as it comes and keeping none of it.

        Raises:
            Failed: the answer is not 200.
        """
        backend = _backend()
        began, cpu, theirs = time.perf_counter(), time.process_time(), _cpu(backend)
        size = rows = 0
        for part in self._call(address, accept):
            size += len(part)
            rows += part.count(_ROWS)
        seconds = time.perf_counter() - began
        used = (time.process_time() - cpu, _cpu(backend) - theirs)
        return Answer(seconds, used, size, rows)

    def _call(self, address: str, accept: str) -> Iterable[bytes]:
        path, _, query = address.partition("?")
        told: list[str] = []
        body = self._application(
            {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "8000",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_HOST": "127.0.0.1:8000",
                "HTTP_ACCEPT": accept,
                "HTTP_AUTHORIZATION": f"Bearer {API_KEY}",
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(),
                "wsgi.errors": io.StringIO(),
                "wsgi.multithread": True,
                "wsgi.multiprocess": True,
            },
            lambda status, headers, *_: told.append(status),
        )
        try:
            if not told[0].startswith("200"):
                raise Failed(f"{address}: {told[0]}: {b''.join(body)[:300]!r}")
            yield from body
        finally:
            body.close()


def addresses(
    kind: Kind, asker: Asker, domains: Sequence[int], *, now: datetime, number: int, seed: str
) -> list[str]:
    """Return addresses of a kind, of domains by chance, no domain twice while there are others."""
    chance = random.Random(seed + kind.name)
    chosen = chance.sample(domains, min(number, len(domains), kind.most or number))
    found = [kind.address(domain, now) for domain in chosen]
    if kind.follow:
        found = [after(each, asker.body(each)) for each in found]
    return found


def ask_all(kind: Kind, asker: Asker, wanted: Sequence[str], *, cold: bool) -> Asked:
    """Ask everything once, one after another."""
    if not cold:
        asker.ask(wanted[0], kind.accept)
    statements = _count_statements(lambda: asker.ask(wanted[-1], kind.accept)) if not cold else 0
    before = _forget_peak()
    answers = [asker.ask(address, kind.accept) for address in wanted]
    return Asked(kind.name, cold, answers, statements, max(0, _status("VmHWM") - before))


def plans(asker: Asker, kind: Kind, address: str) -> list[str]:
    """Return the plan of each statement of a request, run anew with EXPLAIN."""
    from django.db import connection

    seen: list[tuple[str, Any]] = []

    def note(execute: Any, statement: str, values: Any, many: bool, context: Any) -> Any:
        seen.append((statement, values))
        return execute(statement, values, many, context)

    with connection.execute_wrapper(note):
        asker.ask(address, kind.accept)
    found = []
    for statement, values in seen:
        if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", values)
            lines = [line for (line,) in cursor.fetchall()]
        found.append(" ".join(statement.split())[:300] + "\n    " + "\n    ".join(lines))
    return found


def _count_statements(run: Callable[[], object]) -> int:
    from django.db import connection

    count = 0

    def one(execute: Any, statement: str, values: Any, many: bool, context: Any) -> Any:
        nonlocal count
        count += 1
        return execute(statement, values, many, context)

    with connection.execute_wrapper(one):
        run()
    return count


def _backend() -> int | None:
    """Return the process of PostgreSQL that answers here; None before the first request."""
    from django.db import connection

    held = connection.connection
    return None if held is None or held.closed else held.info.backend_pid


def _cpu(pid: int | None) -> float:
    try:
        return 0.0 if pid is None else own_cpu_seconds(pid)
    except OSError:  # it went with the server that was stopped
        return 0.0


def _forget_peak() -> int:
    """Begin to note the peak of memory anew (proc(5), clear_refs); return what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
