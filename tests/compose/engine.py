"""A Docker engine to test with: the one that answers, or one started for this run alone."""

import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.compose.daemon import Daemon

logger = logging.getLogger(__name__)

PACKAGES = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
}
# Debian's own tools first: they fit each other.
PATH = f"/usr/bin:/usr/sbin:/bin:/sbin:{os.environ.get('PATH', '')}"


# What the names of the projects under test begin with.
PROJECTS = "sentineltest"


class EngineUnavailableError(RuntimeError):
    """There is no engine and none can be started: the message says what to do."""


@dataclass(frozen=True)
class Engine:
    """How to talk to one Docker engine.

    ``environment`` is complete: the caller's own is not added, so that its settings of
    Sentinel or of Compose do not leak into the cluster under test. ``private`` engines
    belong to this run: whatever is in them is ours.
    """

    environment: Mapping[str, str]
    private: bool

    def run(
        self,
        *command: str,
        seconds: float,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against the engine and return its output, both streams as one text.

        Raises:
            AssertionError: it failed (unless ``check`` is off) or took longer than ``seconds``.
        """
        try:
            done = subprocess.run(
                command,
                env={**self.environment, **(environment or {})},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            output = error.output.decode(errors="replace") if error.output else ""
            raise AssertionError(f"{command} took over {seconds} s:\n{output[-8000:]}") from None
        if check and done.returncode != 0:
            raise AssertionError(
                f"{command} ended with {done.returncode}:\n{done.stdout[-8000:]}"
            ) from None
        return done

    def docker(self, *arguments: str, seconds: float = 60, check: bool = True) -> str:
        """Run ``docker`` and return what it printed, stripped."""
        return self.run("docker", *arguments, seconds=seconds, check=check).stdout.strip()

    def has_image(self, image: str) -> bool:
        """Tell whether the engine has ``image`` already."""
        return (
            self.run("docker", "image", "inspect", image, seconds=60, check=False).returncode == 0
        )

    def remove_images(self, pattern: str, *, but: Container[str] = ()) -> None:
        """Take away the names that fit ``pattern``, and what has no other name.

        In an engine of our own the layers stay, as a cache for the next run.
        """
        listed = self.docker(
            "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={pattern}"
        )
        keep = ("--no-prune",) if self.private else ()
        for image in listed.split():
            if image not in but:
                self.docker("rmi", *keep, image, check=False)

    def compose_command(self) -> Sequence[str]:
        """Return what Compose is called here: by its first name where that exists."""
        if shutil.which("docker-compose", path=self.environment["PATH"]):
            return ("docker-compose",)
        return ("docker", "compose")


@contextlib.contextmanager
def docker_engine() -> Iterator[Engine]:
    """Give an engine that answers, for as long as the context lasts.

    Raises:
        EngineUnavailableError: there is none, and none can be started here.
    """
    running = _running_engine()
    if running is None:
        _install_missing()
        running = _running_engine()  # installing the package starts one where systemd runs
    if running is not None:
        logger.info("using the Docker engine that runs here")
        yield running
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sentinel-compose"
    daemon = Daemon(cache)
    try:
        daemon.start()
    except (OSError, TimeoutError, RuntimeError) as error:
        raise EngineUnavailableError(f"No Docker engine could be started: {error}") from error
    try:
        engine = Engine(environment=_environment(daemon.client_environment()), private=True)
        _clear(engine)
        try:
            yield engine
        finally:
            _clear(engine)
            # Layers of old builds; young ones make the next run fast.
            engine.docker("image", "prune", "--force", "--filter", "until=168h", check=False)
    finally:
        daemon.stop()


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": PATH, "HOME": str(Path.home()), "LANG": "C.UTF-8", **extra}


def _running_engine() -> Engine | None:
    chosen = {
        name: os.environ[name]
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
        if os.environ.get(name)
    }
    engine = Engine(environment=_environment(chosen), private=False)
    if shutil.which("docker", path=PATH) is None:
        return None
    answers = engine.run("docker", "version", seconds=30, check=False).returncode == 0
    compose = engine.run(*engine.compose_command(), "version", seconds=30, check=False)
    return engine if answers and compose.returncode == 0 else None


def _install_missing() -> None:
    missing = {
        package for tool, package in PACKAGES.items() if shutil.which(tool, path=PATH) is None
    }
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        raise EngineUnavailableError(
            "No Docker engine answers: start one, or run this as root on Debian, where it starts "
            "an engine of its own."
        )
    if not missing:
        return
    logger.info("installing %s", ", ".join(sorted(missing)))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *sorted(missing)],
    ):
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=900,
            check=False,
        )
        if done.returncode != 0:
            raise EngineUnavailableError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")


def _clear(engine: Engine) -> None:
    """Remove what a run that was killed left in a private engine; layers stay, as a cache."""
    containers = engine.docker("ps", "--all", "--quiet").split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers, seconds=120)
    engine.docker("network", "prune", "--force")
    volumes = engine.docker("volume", "ls", "--quiet").split()
    if volumes:
        engine.docker("volume", "rm", "--force", *volumes)
    engine.remove_images(f"{PROJECTS}*")
