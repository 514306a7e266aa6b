"""The proxy fails as it is told: or else every promise would hold."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Fault, Proxy


@pytest.fixture
def upstream() -> Iterator[tuple[str, int]]:
    """A server that says back what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def proxy(upstream: tuple[str, int]) -> Iterator[Proxy]:
    """A proxy before it."""
    with Proxy(upstream) as proxy:
        yield proxy


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def ask(connection: socket.socket, words: bytes = b"hello") -> bytes:
    connection.sendall(words)
    return connection.recv(65_536)


def test_it_forwards_and_again_after_each_fault(proxy: Proxy) -> None:
    for fault in Fault:
        proxy.fail(fault)
        proxy.heal()
        with dial(proxy) as connection:
            assert ask(connection) == b"hello"


def test_refused_is_what_is_new_and_reset_what_was_open(proxy: Proxy) -> None:
    with dial(proxy) as connection:
        ask(connection)
        proxy.fail(Fault.REFUSE)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)


def test_reset_is_what_was_open_and_what_is_new(proxy: Proxy) -> None:
    with dial(proxy) as connection:
        ask(connection)
        proxy.fail(Fault.RESET)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionResetError), dial(proxy) as connection:
        connection.recv(1)


def test_half_open_takes_everything_and_answers_nothing_ever(proxy: Proxy) -> None:
    with dial(proxy) as before:
        ask(before)
        proxy.fail(Fault.STALL)
        with dial(proxy) as connection:
            for each in (before, connection):
                each.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    ask(each)
            proxy.heal()
            for each in (before, connection):
                with pytest.raises(TimeoutError):
                    ask(each)


def test_the_connection_is_reset_in_the_middle_of_an_answer(proxy: Proxy) -> None:
    proxy.fail(cut_after=3)
    with dial(proxy) as connection:
        connection.sendall(b"hello")
        said = connection.recv(3)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert b"hel".startswith(said)


def test_pieces_are_held_back(proxy: Proxy) -> None:
    proxy.fail(delay=0.1)
    with dial(proxy) as connection:
        connection.settimeout(0.15)
        with pytest.raises(TimeoutError):
            ask(connection)
        connection.settimeout(5)
        assert connection.recv(5) == b"hello"


def test_all_are_reset_once(proxy: Proxy) -> None:
    with dial(proxy) as connection:
        ask(connection)
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with dial(proxy) as connection:
        assert ask(connection) == b"hello"
