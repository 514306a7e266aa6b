"""The program that sends requests: ``python -m tests.benchmarks.api.load`` reads a plan as JSON
from its standard input and writes what came of it as JSON.
"""

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httptools
import uvloop

_PATIENCE: Final = 30.0


@dataclass(slots=True)
class Seen:
    """What came of a run: seconds from due to answered, and how many statuses of which kind."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def note(self, status: int, seconds: float) -> None:
        self.latencies.append(seconds)
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Connection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self) -> None:
        self._answered: asyncio.Future[int] | None = None
        self._parser: Any = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(0)

    def on_message_complete(self) -> None:
        assert self._answered is not None
        self.lost = self.lost or not self._parser.should_keep_alive()
        if not self._answered.done():
            self._answered.set_result(self._parser.get_status_code())

    async def ask(self, request: bytes) -> int:
        """Return the status of the answer, 0 where there was none."""
        self._answered = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        try:
            return await asyncio.wait_for(self._answered, _PATIENCE)
        except TimeoutError:
            self.close()
            return 0

    def close(self) -> None:
        self.lost = True
        self._transport.close()


class Pool:
    """Kept connections; a lost one is made anew by whoever needs it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: deque[Connection] = deque()

    async def take(self) -> Connection:
        while self._free:
            connection = self._free.popleft()
            if not connection.lost:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return connection

    def give(self, connection: Connection) -> None:
        if not connection.lost:
            self._free.append(connection)


async def closed(port: int, requests: list[bytes], *, connections: int, seconds: float) -> Seen:
    """Keep each connection busy for so long."""
    seen, pool = Seen(), Pool(port)
    turn = iter(range(sys.maxsize))
    end = time.monotonic() + seconds

    async def work() -> None:
        while (began := time.monotonic()) < end:
            connection = await pool.take()
            status = await connection.ask(requests[next(turn) % len(requests)])
            seen.note(status, time.monotonic() - began)
            pool.give(connection)

    await asyncio.gather(*(work() for _ in range(connections)))
    return seen


async def opened(port: int, requests: list[bytes], *, rate: float, seconds: float) -> Seen:
    """Send requests at fixed instants."""
    seen, pool = Seen(), Pool(port)
    began = time.monotonic()
    under_way: set[asyncio.Task[None]] = set()

    async def work(number: int, due: float) -> None:
        connection = await pool.take()
        status = await connection.ask(requests[number % len(requests)])
        seen.note(status, time.monotonic() - due)
        pool.give(connection)

    for number in range(round(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(work(number, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    return seen


def request(key: str, method: str, path: str, body: Any = None) -> bytes:
    """Return the bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


def main() -> None:
    """Do what the plan says."""
    plan = json.load(sys.stdin)
    requests = [request(plan["key"], *each) for each in plan["requests"]]
    if plan["rate"] is None:
        work = closed(
            plan["port"], requests, connections=plan["connections"], seconds=plan["seconds"]
        )
    else:
        work = opened(plan["port"], requests, rate=plan["rate"], seconds=plan["seconds"])
    seen = uvloop.run(work)
    json.dump({"latencies": seen.latencies, "statuses": seen.statuses}, sys.stdout)


if __name__ == "__main__":
    main()
