"""One Compose project under test: brought up, looked at, scaled, taken down."""

import json
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.compose.engine import PROJECTS, Engine
from tests.compose.images import PYTHON

logger = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parents[2]
ONE_SHOT = "migrate"
SERVERS = ("db", "redis")
SENTINELS = ("api", "worker", "control", "beat", "flower")
SERVICES = (*SERVERS, *SENTINELS)
T = TypeVar("T")


class AwayError(AssertionError):
    """The API answered 503: what it needs is away for now."""


def wait_until(what: str, look: Callable[[], T | None], *, seconds: float) -> T:
    """Call ``look`` until it returns something true, and return that.

    Where no answer came, or 503, it looks again; any other exception is a failure at once.

    Raises:
        AssertionError: nothing came within ``seconds``.
    """
    started = time.monotonic()
    last: object = None
    while time.monotonic() - started < seconds:
        try:
            found = look()
        except (httpx.TransportError, AwayError) as error:
            last = error
        else:
            if found:
                logger.info("%s: after %.1f s", what, time.monotonic() - started)
                return found
            last = found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what} (last seen: {last!r})")


class Cluster:
    """The cluster of this repository's docker-compose.yml, under a name and ports of its own."""

    def __init__(self, engine: Engine, scratch: Path) -> None:
        self.engine = engine
        self.project = f"{PROJECTS}{secrets.token_hex(4)}"
        self.settings = {
            "SENTINEL_PORT": str(_free_port()),
            "FLOWER_PORT": str(_free_port()),
            # A name of its own, so that nobody's image is replaced.
            "SENTINEL_IMAGE": f"{self.project}:test",
        }
        # An empty file in place of the .env that a developer may have beside docker-compose.yml.
        self._no_settings = scratch / "empty.env"
        self._no_settings.touch()
        self.key = ""

    @property
    def api_url(self) -> str:
        """The published address of the API."""
        return f"http://127.0.0.1:{self.settings['SENTINEL_PORT']}"

    @property
    def flower_url(self) -> str:
        """The published address of Flower."""
        return f"http://127.0.0.1:{self.settings['FLOWER_PORT']}"

    def compose(self, *arguments: str, seconds: float, check: bool = True) -> str:
        """Run docker-compose on the project with its present settings; return what it printed."""
        done = self.engine.run(
            *self.engine.compose_command(),
            *("--env-file", str(self._no_settings)),
            *("--project-name", self.project),
            *arguments,
            seconds=seconds,
            check=check,
            environment=self.settings,
            folder=REPOSITORY,
        )
        return done.stdout

    def containers(self, service: str) -> list[dict[str, Any]]:
        """Return what the engine says of each container of a service, stopped ones too."""
        return self._inspected(
            "container",
            "ps",
            "--all",
            *("--filter", f"label=com.docker.compose.service={service}"),
        )

    def network(self, name: str) -> dict[str, Any]:
        """Return what the engine says of one of the project's networks."""
        found = json.loads(self.engine.docker("network", "inspect", f"{self.project}_{name}"))
        network: dict[str, Any] = found[0]
        return network

    def leftovers(self) -> list[str]:
        """Return the ids of all that the engine still holds under the project's name."""
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        label = f"label=com.docker.compose.project={self.project}"
        return [
            found
            for kind in kinds
            for found in self.engine.docker(*kind, "--quiet", "--filter", label).split()
        ]

    def wait_healthy(self, *, seconds: float, **counts: int) -> None:
        """Wait until every service has that many containers, all healthy (one each unless told)."""

        def look() -> bool:
            for service in SERVICES:
                for each in self.containers(service):
                    # It dies whenever it starts: no need to wait for the end of the time.
                    assert each["RestartCount"] < 4, f"{service} does not stay up"
            return all(
                [_health(each) for each in self.containers(service)]
                == ["healthy"] * counts.get(service, 1)
                for service in SERVICES
            )

        try:
            wait_until("all services are healthy", look, seconds=seconds)
        except AssertionError as error:
            seen = {s: [_health(each) for each in self.containers(s)] for s in SERVICES}
            raise AssertionError(f"{error}: {seen}") from None

    def read_key(self) -> str:
        """Return the bootstrap API key, where docker-compose.yml says that it is."""
        return self.compose(
            "exec", "-T", "api", "cat", "/var/lib/sentinel/api_key", seconds=60
        ).strip()

    def call(self, method: str, path: str, *, expected: int, **options: Any) -> Any:
        """Call the published API with the key and return the JSON of its answer."""
        answer = httpx.request(
            method,
            self.api_url + path,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=20,
            **options,
        )
        if answer.status_code == 503 != expected:
            raise AwayError(f"{method} {path}: {answer.text}")
        assert answer.status_code == expected, (
            f"{method} {path}: {answer.status_code} {answer.text}"
        )
        return answer.json() if answer.content else None

    def flower(self, path: str) -> httpx.Response:
        """Ask Flower, as its user."""
        return httpx.get(self.flower_url + path, auth=("sentinel", self.key), timeout=30)

    def start_target(self) -> str:
        """Start a web server of the test's own on the workers' network; return its URL there."""
        self.engine.docker(
            "run",
            "--detach",
            *("--name", f"{self.project}-target"),
            *("--network", f"{self.project}_outward", "--network-alias", "target"),
            *("--user", "65534", "--workdir", "/usr/share", "--init"),
            PYTHON,
            *("python", "-m", "http.server", "8080"),
        )
        return "http://target:8080/"

    def down(self) -> str:
        """Take everything away, data too, as a user would; then the target and the image."""
        self.engine.docker("rm", "--force", "--volumes", f"{self.project}-target", check=False)
        said = self.compose("down", "--volumes", "--remove-orphans", seconds=240)
        self.engine.remove_images(self.settings["SENTINEL_IMAGE"])
        return said

    def _inspected(self, kind: str, *listing: str) -> list[dict[str, Any]]:
        project = f"label=com.docker.compose.project={self.project}"
        ids = self.engine.docker(*listing, "--quiet", "--filter", project).split()
        found: list[dict[str, Any]] = (
            json.loads(self.engine.docker(kind, "inspect", *ids)) if ids else []
        )
        return found


def instant(text: str) -> float:
    """Return an instant of an API answer as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def states(items: Iterable[dict[str, Any]], kind: str) -> list[str]:
    """Return the states of the results of one kind, in the order given."""
    return [item["state"] for item in items if item["kind"] == kind]


def _health(container: dict[str, Any]) -> str:
    state = container["State"]
    health: str = state.get("Health", {}).get("Status", state["Status"])
    return health if state["Status"] == "running" else str(state["Status"])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
