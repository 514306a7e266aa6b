"""gunicorn for real, as the cluster runs it, for tests that speak to it byte by byte."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sentinel import processes
from sentinel.environment import read_environment
from tests.acceptance.cluster import free_port


@dataclass
class Server:
    """The API process, and what it has said."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, sent: bytes = b"", *, receive_buffer: int | None = None) -> socket.socket:
        """Open a connection, and send what is to be sent at once."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(sent)
        return connection

    def raw(self, request: bytes) -> httpx.Response:
        """Send bytes, and return what is answered before the connection ends."""
        with self.connect(request) as connection:
            return parsed(rest_of(connection))

    def seconds(self, path: str = "/livez") -> float:
        """Return how long a fresh connection waits for an answer."""
        began = time.monotonic()
        assert httpx.get(self.url + path, timeout=30).status_code == 200
        return time.monotonic() - began


def rest_of(connection: socket.socket) -> bytes:
    """Return what comes before the connection ends."""
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def parsed(answer: bytes) -> httpx.Response:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


def request(head: str = "GET /livez HTTP/1.1", *headers: str) -> bytes:
    return "\r\n".join([head, "Host: 127.0.0.1", *headers, "", ""]).encode("latin-1")


@contextlib.contextmanager
def serving(folder: Path, *options: str, **variables: str) -> Iterator[Server]:
    """Run the API process until the end.

    Args:
        folder: where its log goes.
        options: of gunicorn, beside or in place of the cluster's.
        variables: settings beside those of the tests.
    """
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENTINEL_PORT", str(port))
        for name, value in variables.items():
            patch.setenv(name, value)
        program = processes.api(read_environment())
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                (*program.argv, *options), env=dict(os.environ), stdout=output, stderr=output
            )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/livez", timeout=5)
                break
            except httpx.TransportError:
                if time.monotonic() > deadline or process.poll() is not None:
                    pytest.fail(log.read_text())
                time.sleep(0.1)
        yield Server(port, log)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
