"""A Docker daemon of our own: its own data, socket and process id, and no trace left behind."""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from tests.compose import network

logger = logging.getLogger(__name__)


class Daemon:
    """``dockerd`` with everything in two folders: ``cache`` (kept) and one under /run (removed).

    One run at a time uses a cache folder. The storage driver is the daemon's own choice:
    overlay2 where the kernel has it, vfs where it has nothing better.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        # The same name for the same cache, so that a later run finds what a killed one left;
        # short, since the path of a Unix socket ends at 107 bytes.
        name = hashlib.sha256(str(cache).encode()).hexdigest()[:8]
        self.run_folder = Path("/run") / f"sentinel-compose-{name}"
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._network_before = self.run_folder / "network.json"

    def client_environment(self) -> dict[str, str]:
        """Return the variables that lead a client to this daemon and to nobody's settings."""
        return {
            "DOCKER_HOST": f"unix://{self.run_folder}/docker.sock",
            "DOCKER_CONFIG": str(self.run_folder / "config"),
        }

    def start(self) -> None:
        """Start the daemon and wait until it answers.

        Raises:
            RuntimeError: it ended at once, or the cache is in use.
            TimeoutError: it does not answer.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._end_leftover()
            (self.run_folder / "config").mkdir(parents=True)
            network.remember(self._network_before)
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the daemon, put the network back as it was, and leave only the cache."""
        if self._process is not None:
            _end(self._process.pid, child=self._process)
            self._process = None
        network.restore(self._network_before)
        remove_tree(self.run_folder)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = (self.cache / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise RuntimeError(
                f"another run uses {self.cache}: wait for it, or set XDG_CACHE_HOME."
            ) from None

    def _end_leftover(self) -> None:
        """End the daemon of a run that was killed: we hold the lock, so nobody else needs it."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.run_folder / "docker.pid").read_text())
            # The number may belong to another process by now.
            if str(self.cache) in Path(f"/proc/{pid}/cmdline").read_text():
                logger.info("ending the Docker engine that an earlier run left (process %d)", pid)
                _end(pid)
        network.restore(self._network_before)
        remove_tree(self.run_folder)

    def _launch(self) -> None:
        command = [
            "dockerd",
            f"--data-root={self.cache / 'engine'}",
            f"--exec-root={self.run_folder / 'exec'}",
            f"--pidfile={self.run_folder / 'docker.pid'}",
            f"--host=unix://{self.run_folder / 'docker.sock'}",
            f"--mtu={network.mtu_outwards()}",
            "--log-level=warn",
        ]
        log = self.run_folder / "log"
        environment = {**os.environ, "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}"}
        with log.open("wb") as sink:
            # A session of its own: Ctrl-C ends the test, which then ends the daemon in good order.
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        logger.info("starting a Docker engine (process %d)", self._process.pid)
        deadline = time.monotonic() + 90
        client = {**environment, **self.client_environment()}
        while not _answers(client):
            tail = log.read_text(errors="replace")[-4000:]
            if self._process.poll() is not None:
                raise RuntimeError(f"dockerd ended with {self._process.returncode}:\n{tail}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"dockerd does not answer:\n{tail}")
            time.sleep(0.2)


def _answers(environment: dict[str, str]) -> bool:
    done = subprocess.run(
        ["docker", "version"], env=environment, capture_output=True, timeout=30, check=False
    )
    return done.returncode == 0


def _end(pid: int, *, child: subprocess.Popen[bytes] | None = None) -> None:
    """End a daemon: it stops its containers and its containerd first, so it is given a minute."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if child.poll() is not None if child else not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.1)
    raise TimeoutError(f"process {pid} does not end")


def remove_tree(folder: Path) -> None:
    """Remove a folder; what is still mounted below it is unmounted first, deepest first."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(folder)), reverse=True):
        network.quietly("umount", "--lazy", mount)
    if folder.exists():
        shutil.rmtree(folder)
