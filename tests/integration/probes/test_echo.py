"""A server that answers while it is being asked: neither waits for the other."""

import asyncio
import contextlib
import socket
import threading

import uvloop

from monitoring.probes import close, probe
from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.outcome import Outcome, Target
from monitoring.probes.states import State

SIZE = 10_000_000


def _echo(listener: socket.socket) -> None:
    with listener.accept()[0] as peer:
        peer.settimeout(10)
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(1)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        left = SIZE
        with contextlib.suppress(OSError):
            while left and (part := peer.recv(65_536)):
                left -= len(part)
                peer.sendall(part)


def test_a_body_that_comes_back_while_it_is_sent_is_read_meanwhile() -> None:
    async def run() -> Outcome:
        port = listener.getsockname()[1]
        target = Target(
            url=f"http://127.0.0.1:{port}/",
            method="POST",
            body=b"x" * SIZE,
            guard=Guard(parse_allowed_targets("127.0.0.0/8")),
        )
        outcome = await probe(target, asyncio.get_running_loop().time() + 8)
        await close()
        return outcome

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_echo, args=(listener,))
        server.start()
        outcome = uvloop.run(run())
        server.join(15)

    assert (outcome.state, outcome.detail, outcome.bytes) == (State.UP, "", SIZE)
