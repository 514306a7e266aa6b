"""A whole cluster between servers that can be killed and proxies that can fail."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import redis

from sentinel import embedded
from tests.acceptance.cluster import Cluster, command_of, descendants, running
from tests.chaos import servers
from tests.chaos.judge import Watched
from tests.chaos.names import Names
from tests.chaos.network import LOCATION, Network
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Server, SmallDisk
from tests.chaos.targets import Targets

ROOT: Final = Path(__file__).resolve().parents[2]
ROLES: Final = ("worker", "control", "beat", "api", "flower")
_TARPITS: Final = ("/hang", "/drip", "/hole")


@dataclass(kw_only=True)
class World:
    """What there is to break, and what is watched meanwhile.

    Attributes:
        database, queue: the proxies before the servers.
        watched: every domain that was registered by ``register``.
        paths: under which path its target is asked for a domain, by its id.
    """

    folder: Path
    disk: SmallDisk
    network: Network
    postgres: Server
    valkey: Server
    database: Proxy
    queue: Proxy
    targets: Targets
    names: Names
    cluster: Cluster
    watched: list[Watched] = field(default_factory=list)
    paths: dict[int, str] = field(default_factory=dict)

    def register(
        self, count: int, *, interval: int, kind: str = "literal", timeout: int = 3
    ) -> list[Watched]:
        """Register domains whose targets are well, or tarpits.

        Args:
            count: how many.
            interval: of each, in seconds.
            kind: ``literal`` addresses, ``named`` by the name server, ``tarpit`` for what
                hangs, drips or takes no connection, ``hang`` for what hangs, ``cut`` beyond
                the other network.
            timeout: of each, in seconds.
        """

        def one(number: int) -> Watched:
            location = LOCATION if kind == "cut" else "local"
            url = self._url(kind, number)
            domain_id = self.cluster.register(
                url,
                interval=interval,
                timeout=timeout,
                locations=[location],
                name=f"{kind} {number}",
            )
            self.paths[domain_id] = urlsplit(url).path
            return Watched(
                id=domain_id,
                interval=interval,
                since=now(),
                healthy=kind not in ("tarpit", "hang"),
                location=location,
            )

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(one, range(count)))
        self.watched += made
        return made

    def _url(self, kind: str, number: int) -> str:
        match kind:
            case "named":
                return self.targets.url(f"/ok/named-{number}", host=f"n{number}.example")
            case "hang":
                return self.targets.url(f"/hang/{number}")
            case "tarpit":
                return self.targets.url(f"{_TARPITS[number % len(_TARPITS)]}/{number}")
            case "cut":
                # Half by name, and half by address.
                host = {"host": f"n{number}.example"} if number % 2 else {}
                return self.network.url(f"/ok/{number}", **host)
        return self.targets.url(f"/ok/{number}")

    def pids(self, *roles: str) -> list[int]:
        """Return the processes of the cluster: those of some parts of it, or all.

        Args:
            roles: of api, worker, control, beat, flower; the parent of a part comes first.
        """
        found: list[int] = []
        for main in sorted(children(self.cluster.process.pid)):
            if role_of(main) in (roles or ROLES):
                found += [main, *sorted(descendants(main))]
        return found

    def roles(self) -> list[str]:
        """Return the parts that run now."""
        running = {role_of(pid) for pid in children(self.cluster.process.pid)}
        return [role for role in ROLES if role in running]

    def kill(self, *roles: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal every process of some parts; return how many that were."""
        pids = self.pids(*roles)
        for pid in pids:
            signal_one(pid, number)
        return len(pids)

    def flush(self) -> None:
        """Empty the queue server."""
        with redis.Redis(port=self.valkey.port) as client:
            client.flushall()

    @contextlib.contextmanager
    def beats(self, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Run further Beats beside the cluster's own."""
        command = [sys.executable, "-m", "celery", "--quiet", "--app", "sentinel.celery", "beat"]
        more = [
            subprocess.Popen(
                [*command, "--pidfile", ""],
                env=self.cluster.environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(count)
        ]
        try:
            yield more
        finally:
            for beat in more:
                beat.kill()
                beat.wait()

    def step_clock(self, seconds: float, *roles: str) -> None:
        """Let some parts' wall clocks be wrong by so many seconds from now on; 0 rights them."""
        for role in roles:
            draft = self.folder / f"clock-{role}.draft"
            draft.write_text(str(seconds))
            draft.rename(self.folder / f"clock-{role}")


def signal_one(pid: int, number: signal.Signals) -> None:
    """Signal a process, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def role_of(pid: int) -> str:
    """Return which part a process belongs to, as a word for the record."""
    command = command_of(pid)
    for role, word in (("api", "gunicorn"), ("beat", "beat"), ("flower", "flower")):
        if word in command:
            return role
    if "worker" in command:
        return "control" if "control" in command else "worker"
    return "another"


def children(pid: int) -> set[int]:
    """Return the processes that one started itself."""
    below = descendants(pid)
    return below - {deeper for each in below for deeper in descendants(each)}


@contextlib.contextmanager
def running_world(*, allow: Sequence[str] = (), **environment: str) -> Iterator[World]:
    """Run it all; what was started is stopped at the end.

    Args:
        allow: networks beside loopback that may be checked.
        environment: settings of the cluster.
    """
    with contextlib.ExitStack() as stack:
        # A short path, because a Unix socket's may not be long.
        folder = Path(tempfile.mkdtemp(prefix="sentinel-chaos-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        disk = stack.enter_context(SmallDisk(folder / "postgres"))
        network = stack.enter_context(Network())
        postgres, valkey = servers.postgres(folder), servers.valkey(folder)
        for server in (postgres, valkey):
            stack.callback(server.stop)
            server.start()
        database = stack.enter_context(Proxy(("127.0.0.1", postgres.port)))
        queue = stack.enter_context(Proxy(("127.0.0.1", valkey.port)))
        targets = stack.enter_context(Targets())
        names = stack.enter_context(Names())
        cluster = stack.enter_context(
            running(
                folder / "cluster",
                DATABASE_URL=servers.database_url(database.port),
                REDIS_URL=f"redis://127.0.0.1:{queue.port}/0",
                SENTINEL_NAMESERVERS=names.address,
                SENTINEL_ALLOWED_TARGETS=",".join(["127.0.0.0/8", *allow]),
                PYTHONPATH=str(Path(__file__).parent / "wrong_clock"),
                CHAOS_FOLDER=str(folder),
                **environment,
            )
        )
        yield World(
            folder=folder,
            disk=disk,
            network=network,
            postgres=postgres,
            valkey=valkey,
            database=database,
            queue=queue,
            targets=targets,
            names=names,
            cluster=cluster,
        )


@contextlib.contextmanager
def far_worker(world: World) -> Iterator[None]:
    """Run the worker that can be cut off, reaching the servers by their sockets."""
    if world.network.why_not:
        yield
        return
    url = embedded.database_url(world.folder)
    world.network.start_worker(
        {
            **world.cluster.environment,
            "DATABASE_URL": f"{url}&port={world.postgres.port}",
            "REDIS_URL": embedded.redis_url(world.folder),
        },
        world.folder / "far-worker.log",
    )
    try:
        yield
    finally:
        world.network.stop_worker()


def now() -> datetime:
    """Return the present; the servers stand on this machine, so it is the database's too."""
    return datetime.now(UTC)
