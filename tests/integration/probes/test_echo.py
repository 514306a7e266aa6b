"""A server that answers while it is being asked: neither waits for the other."""

import asyncio

import uvloop

from monitoring.probes import close, probe
from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.outcome import Outcome, State, Target

SIZE = 5_000_000


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
    left = SIZE
    while left and (part := await reader.read(65_536)):
        left -= len(part)
        writer.write(part)
        await writer.drain()
    writer.close()


def test_a_body_that_comes_back_while_it_is_sent_is_read_meanwhile() -> None:
    async def run() -> Outcome:
        server = await asyncio.start_server(_echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        target = Target(
            url=f"http://127.0.0.1:{port}/",
            method="POST",
            body=b"x" * SIZE,
            guard=Guard(parse_allowed_targets("127.0.0.0/8")),
        )
        async with server:
            outcome = await probe(target, asyncio.get_running_loop().time() + 8)
            await close()
        return outcome

    outcome = uvloop.run(run())

    assert (outcome.state, outcome.detail, outcome.bytes) == (State.UP, "", SIZE)
