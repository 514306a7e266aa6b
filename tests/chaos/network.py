"""A worker in a network of its own, with a way to targets that are not on its machine, to be cut.

Two network namespaces joined by a virtual cable: the worker stands in one, a web server and
a name server in the other. Database and queue are reached by Unix sockets, which networks do not
part, so that nothing but the way to the targets is cut. Needs root and iproute2.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LOCATION: Final = "cut"
_NEAR, _FAR = "10.99.0.1", "10.99.0.2"
_PORT: Final = 8080
_DNS_PORT: Final = 5353
ALLOWED: Final = "10.99.0.0/24"

WAYS: Final = ("hole", "mute", "link")
"""How it is cut: packets vanish, nobody of that address answers, the link is down."""


class Network:
    """The two namespaces, and what runs in them."""

    def __init__(self) -> None:
        self._near, self._far = f"sentinel-near-{os.getpid()}", f"sentinel-far-{os.getpid()}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.worker: subprocess.Popen[bytes] | None = None
        self.why_not = ""
        if os.getuid() != 0:
            self.why_not = "a network of its own needs root"
        elif shutil.which("ip") is None:
            self.why_not = "a network of its own needs iproute2"

    def __enter__(self) -> "Network":
        if self.why_not:
            return self
        try:
            self._make()
        except subprocess.CalledProcessError as error:
            self.why_not = error.stderr.decode().strip()
            self.__exit__()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            _end(process)
        self._processes.clear()
        for name in (self._near, self._far):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)

    @staticmethod
    def url(path: str, host: str = _FAR) -> str:
        """Return the address of a path of the web server in the other network."""
        return f"http://{host}:{_PORT}{path}"

    def start_worker(self, environment: Mapping[str, str], log: Path) -> None:
        """Run a worker for the location ``cut`` in the near network."""
        with log.open("ab") as output:
            self.worker = self._spawn(
                self._near,
                *(sys.executable, "-m", "sentinel", "worker"),
                env={
                    **environment,
                    "SENTINEL_LOCATION": LOCATION,
                    "SENTINEL_NAMESERVERS": f"{_FAR}:{_DNS_PORT}",
                    "SENTINEL_ALLOWED_TARGETS": ALLOWED,
                    "SENTINEL_WORKER_PROCESSES": "1",
                },
                output=output.fileno(),
            )

    def stop_worker(self) -> None:
        """Stop it, while its servers are still there."""
        if self.worker is not None:
            _end(self.worker)

    def cut(self, way: str) -> None:
        """Cut it, in one of ``WAYS``."""
        match way:
            case "hole":
                _ip("-n", self._far, "route", "add", "blackhole", f"{_NEAR}/32")
            case "mute":
                _ip("-n", self._far, "link", "set", "dev", "far", "arp", "off")
                _ip("-n", self._far, "addr", "del", f"{_FAR}/24", "dev", "far")
                _ip("-n", self._near, "neigh", "flush", "dev", "near")
            case "link":
                _ip("-n", self._near, "link", "set", "near", "down")

    def mend(self, way: str) -> None:
        """Join it again."""
        match way:
            case "hole":
                _ip("-n", self._far, "route", "del", "blackhole", f"{_NEAR}/32")
            case "mute":
                _ip("-n", self._far, "link", "set", "dev", "far", "arp", "on")
                _ip("-n", self._far, "addr", "add", f"{_FAR}/24", "dev", "far")
            case "link":
                _ip("-n", self._near, "link", "set", "near", "up")
                _ip("-n", self._near, "route", "replace", "default", "via", _FAR)

    def _make(self) -> None:
        for name in (self._near, self._far):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        peer = ("peer", "name", "far", "netns", self._far)
        _ip("link", "add", "near", "netns", self._near, "type", "veth", *peer)
        for name, device, address in ((self._near, "near", _NEAR), (self._far, "far", _FAR)):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            _ip("-n", name, "link", "set", device, "up")
        # A way out, as every worker has: what is missing is then told by nobody's answer.
        _ip("-n", self._near, "route", "add", "default", "via", _FAR)
        command = (sys.executable, "-m", "tests.chaos.targets", _FAR, str(_PORT), str(_DNS_PORT))
        serving = self._spawn(self._far, *command, output=subprocess.PIPE)
        assert serving.stdout is not None
        serving.stdout.readline()  # it listens

    def _spawn(
        self, namespace: str, *argv: str, output: int, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *argv],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
        )
        self._processes.append(process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
