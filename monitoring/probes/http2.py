"""One request and its answer in HTTP/2, as h2 reads it: one connection, one stream."""

import asyncio
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from monitoring.probes.exchange import MAX_HEAD_BYTES, MAX_HEADERS, Asked, Asking, Stream
from monitoring.probes.faults import HungUp, NotHTTP
from monitoring.probes.stopwatch import Stopwatch

_CONFIG: Final = H2Configuration(client_side=True, header_encoding=False)
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"host", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding",
     b"upgrade"}
)  # fmt: skip
"""Headers that HTTP/2 has no place for (RFC 9113, 8.2.2), or another one."""

_CONTROL_BYTES: Final = 4 * MAX_HEAD_BYTES
"""How much that is no body may come: settings, pings and their like without end."""

_CONTROL_PER_BYTE: Final = 16
_SETTINGS: Final = 4
_GOAWAY: Final = 7
_DATA: Final = 0
"""Types of frames (RFC 9113, 6)."""
_FRAMES_A_TURN: Final = 32
_SMALL_FRAME: Final = 64
_MOST_SMALL_FRAMES: Final = 1000
"""A frame costs some 0.2 ms whatever it carries: these carry nothing, or next to it."""
_FRAME_HEAD: Final = 9
_MAX_FRAME: Final = 16_384


_OUR_SETTINGS: Final = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
    SettingCodes.INITIAL_WINDOW_SIZE: 2**20,
}


class Exchange2(Asking):
    """A request and its answer in HTTP/2, on a connection on which it was agreed."""

    http_version = "2"

    def __init__(self, stream: Stream, watch: Stopwatch) -> None:
        super().__init__(stream, watch)
        self._h2 = H2Connection(_CONFIG)
        # Before the greeting, which says the settings in force and not those to come.
        self._h2.local_settings = Settings(client=True, initial_values=_OUR_SETTINGS)
        self._id = 0
        self._received = 0
        self._body_bytes = 0
        self._greeted = False
        self._behind = False
        self._small_frames = 0
        self._pending = bytearray()

    async def ask(self, request: Asked, body: bytes) -> None:
        """Send the request; ``wait`` begins."""
        h2 = self._h2
        h2.initiate_connection()
        self._id = h2.get_next_available_stream_id()
        h2.send_headers(self._id, _headers_of(request), end_stream=not body)
        self._watch.enter("wait")
        left = memoryview(body)
        while left and not self._complete and self._error is None:
            room = min(h2.local_flow_control_window(self._id), h2.max_outbound_frame_size)
            if room <= 0:
                await self._more()
                continue
            part, left = left[:room], left[room:]
            h2.send_data(self._id, bytes(part), end_stream=not left)
        await self._flush()

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            await self._stream.send(data)

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        await self._flush()
        if self._behind:
            await asyncio.sleep(0)  # others' turn: a flood of frames is ours to bear
        else:
            data = await self._stream.receive()
            if not data:
                raise HungUp
            self._received += len(data)
            self._pending += data
        try:
            self._read_frames()
        except (NotHTTP, HungUp) as error:
            self._error = error
        except ProtocolError as error:
            self._error = NotHTTP(f"broken HTTP/2: {_words(error)}")
        else:
            if self._received > _CONTROL_BYTES + _CONTROL_PER_BYTE * self._body_bytes:
                words = f"more than {_CONTROL_BYTES} bytes of HTTP/2 beside the body"
                self._error = NotHTTP(words)

    def _read_frames(self) -> None:
        """Give h2 each frame by itself: what came before a broken one has come all the same."""
        pending = self._pending
        self._behind = False
        turn = 0
        while len(pending) >= _FRAME_HEAD and not self._complete:
            kind = pending[3]
            if not self._greeted and kind != _SETTINGS:
                raise NotHTTP("broken HTTP/2: it does not begin with the server's settings")
            self._greeted = True
            # h2 would wait for all of a frame before it says that it is too long.
            if (length := int.from_bytes(pending[:3], "big")) > _MAX_FRAME:
                raise NotHTTP(f"broken HTTP/2: a frame of {length} bytes")
            end = _FRAME_HEAD + length
            if len(pending) < end:
                return
            if turn == _FRAMES_A_TURN:
                self._behind = True
                return
            turn += 1
            if kind != _DATA or length < _SMALL_FRAME:
                self._small_frames += 1
                if self._small_frames > _MOST_SMALL_FRAMES:
                    raise NotHTTP(f"more than {_MOST_SMALL_FRAMES} frames beside the body")
            frame = bytes(pending[:end])
            del pending[:end]
            if kind == _GOAWAY:
                self._go_away(frame[_FRAME_HEAD:])
                continue
            for event in self._h2.receive_data(frame):
                self._take(event)

    def _go_away(self, payload: bytes) -> None:
        """Hear that no other request will be answered; h2 would take it for the end of all."""
        last, code = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, payload[4:8]
        if len(code) < 4:
            raise NotHTTP("broken HTTP/2: a short GOAWAY")
        if last < self._id or int.from_bytes(code, "big"):
            words = f"(GOAWAY, {_code(int.from_bytes(code, 'big'))})"
            raise HungUp(f"hung up {words}")

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived(headers=headers) if headers is not None:
                self._watch.enter("download", self._stream.arrived)
                self._take_head([(bytes(name), bytes(value)) for name, value in headers])
            case DataReceived(data=data, flow_controlled_length=size) if data is not None:
                self._body_bytes += len(data)
                self._chunks.append(bytes(data))
                if size:
                    self._h2.acknowledge_received_data(size, self._id)
            case StreamEnded():
                self._complete = True
                self._watch.leave(self._stream.arrived)
            case StreamReset(remote_reset=False, error_code=code):
                raise NotHTTP(f"broken HTTP/2: {_code(code)}")
            case StreamReset(error_code=code) if not self._complete:
                raise HungUp(f"hung up (reset stream, {_code(code)})")

    def _take_head(self, headers: list[tuple[bytes, bytes]]) -> None:
        if len(headers) > MAX_HEADERS:
            raise NotHTTP(f"more than {MAX_HEADERS} headers")
        status = dict(headers).get(b":status", b"")
        if len(status) != 3 or not status.isdigit() or status < b"100":
            raise NotHTTP("an answer without a status of three digits")
        self.status = int(status)
        self.headers = [header for header in headers if not header[0].startswith(b":")]
        self._head_done = True


def _headers_of(request: Asked) -> list[tuple[bytes, bytes]]:
    authority = request.url.netloc
    fields = []
    for name, value in request.headers:
        lowered = name.lower()
        if lowered == b"host":
            authority = value or authority
        elif lowered not in _OF_THE_CONNECTION:
            fields.append((lowered, value))
    return [
        (b":method", request.method.encode("ascii")),
        (b":authority", authority),
        (b":scheme", request.url.scheme.encode("ascii")),
        (b":path", request.url.raw_path),
        *fields,
    ]


def _code(code: ErrorCodes | int | None) -> str:
    try:
        return ErrorCodes(code or 0).name
    except ValueError:
        return f"code {code}"


def _words(error: ProtocolError) -> str:
    """Return what was wrong; some of h2's errors only say it by their class."""
    return (str(error) or type(error).__name__)[:120]
