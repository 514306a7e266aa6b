"""``sentinel up``: the whole cluster on one machine, as one command."""

import asyncio
import fcntl
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Final

import psycopg
import redis

from sentinel import broker, embedded, processes, pulse
from sentinel.environment import Environment
from sentinel.key_files import api_key
from sentinel.ports import check_port
from sentinel.supervisor import Program, ProgramFailed, Supervisor

START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 5.0


def up(environment: Environment) -> None:
    """Run the cluster until SIGINT or SIGTERM.

    Raises:
        SystemExit: it cannot start; the sentence says why and what to do.
    """
    data_dir = environment.SENTINEL_DATA_DIR.absolute()
    lock = _lock(data_dir)
    with lock:
        for name, port in (
            ("SENTINEL_PORT", environment.SENTINEL_PORT),
            ("FLOWER_PORT", environment.FLOWER_PORT),
        ):
            check_port(environment.SENTINEL_HOST, port, name)
        if environment.SENTINEL_PORT == environment.FLOWER_PORT:
            raise SystemExit("Sentinel: SENTINEL_PORT and FLOWER_PORT are the same: change one.")
        # Every process finds the same folder, wherever it is started.
        os.environ["SENTINEL_DATA_DIR"] = str(data_dir)
        if environment.DATABASE_URL is None:
            # What a shell says of another PostgreSQL (libpq reads it) is not meant for ours.
            for name in [name for name in os.environ if name.startswith("PG")]:
                del os.environ[name]
        asyncio.run(_Cluster(environment, data_dir).run())


def _lock(data_dir: Path) -> IO[str]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("a+")
        probe = data_dir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SystemExit(
            f"Sentinel: the folder {data_dir} cannot be written ({error.strerror}): "
            "give SENTINEL_DATA_DIR a folder that this user may write."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise SystemExit(
            f"Sentinel: the folder {data_dir} is in use by a Sentinel that is running: stop that "
            "one first, or give SENTINEL_DATA_DIR another folder."
        ) from None
    return lock


class _Cluster:
    """One run of the cluster."""

    def __init__(self, environment: Environment, data_dir: Path) -> None:
        self._environment = environment
        self._data_dir = data_dir
        self._supervisor = Supervisor()
        self._database_url = environment.DATABASE_URL or embedded.database_url(data_dir)
        self._redis_url = environment.REDIS_URL or embedded.redis_url(data_dir)

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        stopped = asyncio.create_task(stop.wait())
        started = asyncio.create_task(self._start())
        try:
            await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                print(started.result(), flush=True)  # noqa: T201 - the line people wait for
                watching = asyncio.create_task(self._watch())
                await stopped
                watching.cancel()
        except ProgramFailed as failure:
            words = str(failure).removeprefix("Sentinel: ")
            raise SystemExit(f"Sentinel: it could not start: {words}") from None
        finally:
            started.cancel()
            await asyncio.gather(started, return_exceptions=True)
            self._supervisor.say("stopping")
            # The processes that work, together; then what they work on.
            await self._supervisor.stop(("api", "worker", "control", "beat", "flower", "init"))
            await self._supervisor.stop_all()
            self._supervisor.say("stopped")

    async def _start(self) -> str:
        """Start everything in order; return the line that says so."""
        if os.getuid() == 0:
            self._supervisor.say("running as root; an ordinary user is enough, and safer")
        started = time.monotonic()
        if self._environment.DATABASE_URL is None:
            await self._start_postgres()
        if self._environment.REDIS_URL is None:
            if self._environment.DATABASE_URL is not None:
                embedded.prepare_sockets(self._data_dir)
            self._supervisor.keep(
                Program(name="valkey", argv=embedded.valkey_argv(self._data_dir), stop_seconds=3)
            )
        await self._until(self._redis_answers, "valkey", f"Redis at {_shown(self._redis_url)}")
        await self._supervisor.run_once(
            Program(name="init", argv=(sys.executable, "-m", "sentinel", "init"), stop_seconds=3)
        )
        launched = await asyncio.to_thread(self._database_time)
        key = api_key(self._environment)
        for name, process in (
            ("api", processes.api(self._environment)),
            ("worker", processes.worker(self._environment)),
            ("control", processes.control(self._environment)),
            ("beat", processes.beat(self._environment)),
            ("flower", processes.flower(self._environment, api_key=lambda: key)),
        ):
            self._supervisor.keep(
                Program(name=name, argv=process.argv, env=process.env, stop_seconds=11)
            )
        api = f"http://{self._host()}:{self._environment.SENTINEL_PORT}"
        flower = f"http://{self._host()}:{self._environment.FLOWER_PORT}"
        await self._until(lambda: _answers(f"{api}/readyz"), "api", "the API")
        await self._until(lambda: _answers(f"{flower}/healthcheck"), "flower", "Flower")
        # Beat, Redis, a worker and PostgreSQL together: a tick that was swept after the start.
        await self._until(lambda: self._swept_since(launched), "control", "the first sweep")
        for role in pulse.FRESH_SECONDS:
            await self._until(partial(_works, role), role, role)
        seconds = time.monotonic() - started
        return (
            f"Sentinel is ready after {seconds:.1f} s: API {api}/api/docs, Flower {flower}, "
            f"API key {key} (Ctrl-C stops it)"
        )

    async def _watch(self) -> None:
        """Say when a process that runs does no work, and when it works again.

        None is ended for it: what it waits for may be Redis, and it recovers by itself.
        """
        known: dict[str, str] = {}
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for role in pulse.FRESH_SECONDS:
                wrong = await asyncio.to_thread(pulse.complaint, role)
                if wrong is None and known.pop(role, None) is not None:
                    self._supervisor.say(f"{role} works again")
                elif wrong is not None and role not in known:
                    self._supervisor.say(f"{role} does no work: {wrong}")
                    known[role] = wrong

    async def _start_postgres(self) -> None:
        user = await asyncio.to_thread(embedded.prepare, self._data_dir)
        self._supervisor.keep(
            Program(
                name="postgres",
                argv=embedded.postgres_argv(self._data_dir),
                stop_signal=signal.SIGINT,  # "fast": ends sessions instead of waiting for them
                stop_seconds=5,
                uid=user.pw_uid if user else None,
                gid=user.pw_gid if user else None,
            )
        )
        await self._until(self._database_exists, "postgres", "PostgreSQL")

    async def _until(self, ready: Callable[[], bool], name: str, what: str) -> None:
        """Wait until ``ready`` holds.

        Raises:
            ProgramFailed: it did not within ``START_SECONDS``.
        """
        deadline = time.monotonic() + START_SECONDS
        while not await asyncio.to_thread(ready):
            if time.monotonic() > deadline:
                raise ProgramFailed(f"{what} did not answer within {START_SECONDS:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    def _host(self) -> str:
        host = self._environment.SENTINEL_HOST
        if host in ("0.0.0.0", "::"):  # noqa: S104 - recognised, not bound
            return "127.0.0.1"
        return f"[{host}]" if ":" in host else host

    def _database_exists(self) -> bool:
        url = self._database_url.replace("/sentinel?", "/postgres?", 1)
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
                found = connection.execute(
                    "SELECT FROM pg_database WHERE datname = 'sentinel'"
                ).fetchone()
                if found is None:
                    connection.execute("CREATE DATABASE sentinel")
        except psycopg.OperationalError:
            return False
        return True

    def _database_time(self) -> str:
        with psycopg.connect(self._database_url, connect_timeout=3) as connection:
            row = connection.execute("SELECT clock_timestamp()::text").fetchone()
            assert row is not None
            return str(row[0])

    def _swept_since(self, instant: str) -> bool:
        try:
            with psycopg.connect(self._database_url, connect_timeout=3) as connection:
                found = connection.execute(
                    "SELECT FROM monitoring_tick WHERE swept_at >= %s LIMIT 1", [instant]
                ).fetchone()
        except psycopg.OperationalError:
            return False
        return found is not None

    def _redis_answers(self) -> bool:
        try:
            with broker.client(self._redis_url, seconds=3) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _works(role: str) -> bool:
    return pulse.complaint(role) is None


def _answers(url: str) -> bool:
    # Not through a proxy of the environment: it is our own process on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _shown(url: str) -> str:
    """Return a URL without its passwords: one may stand among the parameters, too."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
