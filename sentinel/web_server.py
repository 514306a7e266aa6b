"""gunicorn as the API runs it: threads for requests that are there, and our shape for its errors.

gunicorn's own threaded worker gives a thread to whoever connects, and the thread waits for the
rest. Here the one thread that accepts collects requests, and a thread of the pool serves those
that have arrived. In the same way connections are left that a client does not close.
"""

import contextlib
import errno
import gc
import logging.config
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import structlog
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

from sentinel.logs import logging_config
from sentinel.problem_types import BY_NAME, RETRY_AFTER_SECONDS
from sentinel.request_log import request_id_of, shown_path
from sentinel.web_arrivals import Arrival
from sentinel.web_clients import ClientSocket
from sentinel.web_errors import kind_of_error, written

log = structlog.get_logger(__name__)

SILENCE_SECONDS: Final = 10.0
"""How long nothing may come of a request that has begun, or after connecting."""

REQUEST_SECONDS: Final = 60.0
"""How long a request may take to arrive, its body included."""

_PARTING_SECONDS: Final = 2.0
_MOST_HELD: Final = 64 * 1_048_576
"""Bytes of unfinished requests in a process; beyond it the largest is given up."""

_PIECE: Final = 65_536


class Connection(TConn):  # type: ignore[misc] # gunicorn has no types
    """A client, and what has arrived of its next request."""

    arrival: Arrival | None = None
    is_told = False
    """Whether a client that awaits leave to send its body has it."""

    def begin(self) -> Arrival:
        """Start with a request: with what was read of it together with the one before."""
        self.init()  # makes the parser
        self.sock.setblocking(False)
        self.arrival, self.is_told = Arrival(time.monotonic()), False
        ahead = self.parser.unreader.take_buffered()
        if ahead:
            self.arrival.add(ahead)
        return self.arrival


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's threaded worker, whose threads wait for no client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slow_readers = threading.Semaphore(self.cfg.threads - 1)
        self._waiting: dict[Connection, Callable[[Connection], None]] = {}
        self._held = 0

    def run(self) -> None:
        """Serve, without looking for garbage among what the application was loaded as."""
        gc.collect()
        gc.freeze()
        super().run()

    def accept(self, listener: Any) -> None:
        """Take a connection, and collect what it asks for."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        client = ClientSocket(accepted, self._slow_readers)
        self.enqueue_req(Connection(self.cfg, client, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Collect a request; when enough of it has arrived, a thread serves it."""
        conn.begin()
        self._collect(conn)

    def _collect(self, conn: Connection) -> None:
        arrival = conn.arrival
        assert arrival is not None
        try:
            while not arrival.is_ready:
                data = conn.sock.recv(_PIECE)
                if not data:
                    self._end_early(conn, arrival)
                    return
                arrival.add(data)
                if conn in self._waiting:
                    self._held += len(data)
        except BlockingIOError:
            self._await_rest(conn, arrival)
        except OSError:
            self._drop(conn)
        else:
            self._unwatch(conn)
            conn.data_ready = True
            conn.parser.unreader.unread(bytes(arrival.bytes))
            arrival.bytes.clear()
            super().enqueue_req(conn)

    def _await_rest(self, conn: Connection, arrival: Arrival) -> None:
        if arrival.awaits_leave and not conn.is_told:
            conn.is_told = True
            with contextlib.suppress(OSError):  # who has gone is met at the next look
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        now = time.monotonic()
        conn.timeout = min(now + SILENCE_SECONDS, arrival.began + REQUEST_SECONDS)
        self._watch(conn, self._collect)
        while self._held > _MOST_HELD:
            largest = max(self._waiting, key=_held_of)
            self._refuse(
                largest,
                "busy",
                "too many unfinished requests at once",
                retry_after=RETRY_AFTER_SECONDS,
            )

    def _end_early(self, conn: Connection, arrival: Arrival) -> None:
        if arrival.bytes:
            self._refuse(conn, "bad-request", "the connection ended before the request did")
        else:
            self._drop(conn)

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Wait for the next request, or part: gunicorn would wait for a client that stays."""
        conn.data_ready = False
        if fs.cancelled() or (fs.exception() is None and not fs.result()):
            self._part(conn)
        else:
            super().finish_request(conn, fs)

    def _part(self, conn: Connection) -> None:
        """End a connection so that the client has read its answer (RFC 9112, 9.6)."""
        self._unwatch(conn)
        conn.arrival = None
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.timeout = time.monotonic() + _PARTING_SECONDS
        self._watch(conn, self._drain)

    def _drain(self, conn: Connection) -> None:
        try:
            if conn.sock.recv(_PIECE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # reset: it has gone too
        self._drop(conn)

    def murder_pending(self) -> None:
        """Give up what does not come in time."""
        now = time.monotonic()
        for conn in list(self._waiting):
            begun = conn.arrival is not None and bool(conn.arrival.bytes)
            if conn.timeout > now and (self.alive or begun or conn.arrival is None):
                continue
            if begun:
                self._refuse(conn, "request-timeout")
            else:
                self._drop(conn)

    def _refuse(
        self, conn: Connection, name: str, detail: str | None = None, *, retry_after: int = 0
    ) -> None:
        request_id = request_id_of(None)
        log.warning(
            "not a request",
            request_id=request_id,
            status=BY_NAME[name].status,
            client=_address(conn.client),
            reason=detail or name,
        )
        try:
            conn.sock.send(written(name, detail, request_id, retry_after=retry_after))
        except OSError:
            log.debug("nobody is there to be answered", request_id=request_id)
        self._part(conn)

    def _watch(self, conn: Connection, then: Callable[[Connection], None]) -> None:
        if conn not in self._waiting:
            wake = partial(self._wake, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, wake)
            self._held += _held_of(conn)
        self._waiting[conn] = then

    def _wake(self, conn: Connection, _: Any) -> None:
        # It may have been given up for another event of the same round.
        then = self._waiting.get(conn)
        if then is not None:
            then(conn)

    def _unwatch(self, conn: Connection) -> None:
        if self._waiting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)
            self._held -= _held_of(conn)

    def _drop(self, conn: Connection) -> None:
        self._unwatch(conn)
        self.nr_conns -= 1
        conn.close()

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Serve a request; where its body is still to come, nothing can follow it."""
        if conn.arrival is not None and not conn.arrival.is_whole:
            req.force_close()
        if conn.is_told:
            req._expected_100_continue = False  # noqa: SLF001 - once is enough
        try:
            return bool(super().handle_request(req, conn))
        finally:
            conn.sock.end_answer()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer for what never reached Django, and log it without what was sent."""
        name, detail = kind_of_error(exc)
        status = BY_NAME[name].status
        request_id = request_id_of(None)
        fields = {
            "request_id": request_id,
            "status": status,
            "client": _address(addr),
            "path": shown_path(getattr(req, "path", None) or ""),
        }
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("unhandled error", **fields, exc_info=exc)
        else:
            log.warning("not a request", **fields, reason=type(exc).__name__)
        try:
            client.sendall(written(name, detail, request_id))
        except OSError:
            log.debug("nobody is there to be answered", request_id=request_id)


def _held_of(conn: Connection) -> int:
    return len(conn.arrival.bytes) if conn.arrival else 0


def _address(client: Any) -> str:
    return str(client[0]) if isinstance(client, tuple) else ""


class Log(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's own lines, in the form of the other processes'."""

    def setup(self, cfg: Any) -> None:
        """Send them where the others go, and print no line of its own making."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True
        logging.config.dictConfig(logging_config())
