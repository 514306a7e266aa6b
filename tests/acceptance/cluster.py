"""A whole cluster as a user starts it: ``sentinel up`` as a process, judged through its API."""

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

START_SECONDS = 90.0


def free_port() -> int:
    """Return a port of loopback that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _parents() -> dict[int, int]:
    """Return the parent of every process, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                # The name in parentheses may hold spaces; the fields after it are plain.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    return parents


def descendants(pid: int) -> set[int]:
    """Return the processes below one."""
    parents = _parents()
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def command_of(pid: int) -> list[str]:
    """Return the command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []


class Cluster:
    """One ``sentinel up``, its output, and a client of its API."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.port, self.flower_port = free_port(), free_port()
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("SENTINEL_", "FLOWER_", "DATABASE_", "REDIS_", "DJANGO_"))
            },
            "SENTINEL_DATA_DIR": str(data_dir),
            "SENTINEL_PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "SENTINEL_ALLOWED_TARGETS": "127.0.0.0/8",
            **environment,
        }
        self.lines: list[str] = []
        self._arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.ready_line = ""

    def start(self) -> "Cluster":
        """Start it and wait for the line that says it is ready."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sentinel", "up"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                line = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.stop()
                pytest.fail("not ready in time:\n" + "".join(self.lines))
            if line is None:
                pytest.fail("ended before it was ready:\n" + "".join(self.lines))
            if line.startswith("Sentinel is ready"):
                self.ready_line = line
                break
        match = re.search(r"API key (\S+)", self.ready_line)
        assert match
        self.key = match[1]
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=15,
            trust_env=False,
        )
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)
                self._arrived.put(line)
        self._arrived.put(None)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ask it to stop; return how many seconds that took."""
        if self.process.poll() is not None:
            return 0.0
        began = time.monotonic()
        below = descendants(self.process.pid)
        self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            for pid in below | {self.process.pid}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pytest.fail("did not stop:\n" + "".join(self.lines[-50:]))
        finally:
            self.client.close()
        self._reader.join(10)
        self.left_over = {pid for pid in below if Path(f"/proc/{pid}/stat").exists()}
        return time.monotonic() - began

    def pid_of(self, word: str) -> int | None:
        """Return the main process of the part whose command line has a word, if it runs."""
        for pid, parent in _parents().items():
            command = command_of(pid)
            # Valkey puts its address behind its own name.
            program = Path(command[0].partition(" ")[0]).name if command else ""
            # Both are Celery workers; the queue of the sweeps is the difference.
            other = word == "worker" and "control" in command
            if parent == self.process.pid and (word in command or word == program) and not other:
                return pid
        return None

    def get(self, path: str, **params: str) -> Any:
        """Return the body of a GET that must succeed."""
        response = self.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def register(self, url: str, **fields: Any) -> int:
        """Register a domain; return its id."""
        response = self.client.post("/api/domains/", json={"name": "t", "url": url, **fields})
        assert response.status_code == 201, response.text
        domain_id: int = response.json()["id"]
        return domain_id

    def history(self, domain_id: int, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the newest results of a domain."""
        items = self.get(f"/api/monitoring/{domain_id}/history", limit="1000")["items"]
        return [item for item in items if kind in (None, item["kind"])]

    def check(self, domain_id: int, timeout: float = 15) -> dict[str, Any]:
        """Ask for a manual check; return the answer that accepted it."""
        response = self.client.post(f"/api/monitoring/{domain_id}/check", timeout=timeout)
        assert response.status_code == 202, response.text
        body: dict[str, Any] = response.json()
        return body

    def run_result(self, accepted: dict[str, Any], seconds: float = 30) -> dict[str, Any]:
        """Poll a manual check to its end; return its one result."""

        def finished() -> Any:
            run = self.get(accepted["status_url"])
            return run["results"] if run["status"] == "finished" else None

        (result,) = until(finished, "the manual check ends", seconds)
        assert isinstance(result, dict)
        return result


def until(look: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Look until what is seen is true; return it."""
    deadline = time.monotonic() + seconds
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.1)


@contextlib.contextmanager
def running(data_dir: Path, **environment: str) -> Iterator[Cluster]:
    """Run a cluster; where the test fails, its output is printed."""
    cluster = Cluster(data_dir, **environment).start()
    try:
        yield cluster
    except BaseException:
        print("".join(cluster.lines[-200:]))
        raise
    finally:
        cluster.stop()
