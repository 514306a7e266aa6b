"""A web server on loopback that behaves as its path says."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "MisbehavingServer"

    def do_GET(self) -> None:
        self.server.seen[self.path] += 1
        match self.path.strip("/").split("/"):
            case ["status", code]:
                self._answer(int(code))
            case ["hang", *_]:
                self.server.closing.wait(60)
                self.close_connection = True
            case ["drip", *_]:
                self._drip()
            case ["close", *_]:
                self.close_connection = True
            case ["redirect", *rest]:
                self.send_response(302)
                self.send_header("Location", "/" + "/".join(rest))
                self.send_header("Content-Length", "0")
                self.end_headers()
            case _:
                self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        try:
            while not self.server.closing.wait(0.1):
                self.wfile.write(b".")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Keep the tests' output to what tests say."""


class MisbehavingServer(ThreadingHTTPServer):
    """Counts the requests by path."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: Counter[str] = Counter()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """The address of the server, without a path."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news here."""


@contextmanager
def misbehaving_server() -> Iterator[MisbehavingServer]:
    """Run the server."""
    server = MisbehavingServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
