"""Records of TLS 1.3 sealed by hand: what OpenSSL's server would never say.

The traffic secret comes from the key log that OpenSSL writes when it is told to; from
there on the server's direction is ours (RFC 8446, 5.2, 7.1 and 7.2).
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.torture.certificates import Authority
from tests.torture.session import Act, Session

HANDSHAKE: Final = 22
DATA: Final = 23
KEY_UPDATE: Final = bytes.fromhex("1800000100")
"""A KeyUpdate that asks for none in return (RFC 8446, 4.6.3)."""
KEY_UPDATE_ASKED: Final = bytes.fromhex("1800000101")
HELLO_REQUEST: Final = bytes.fromhex("00000000")
"""What TLS 1.2 renegotiates with, and TLS 1.3 no longer knows."""


class Direction:
    """The server's direction of a connection, sealed by us.

    Args:
        secret: server_application_traffic_secret_N.
        cipher: the name of the suite.
    """

    def __init__(self, secret: bytes, cipher: str) -> None:
        self._hash: hashes.HashAlgorithm = (
            hashes.SHA384() if cipher.endswith("384") else hashes.SHA256()
        )
        self._size = 16 if "AES_128" in cipher else 32
        self._make: Callable[[bytes], AESGCM | ChaCha20Poly1305] = (
            ChaCha20Poly1305 if "CHACHA20" in cipher else AESGCM
        )
        self._take(secret)

    def _take(self, secret: bytes) -> None:
        self._secret = secret
        self._aead = self._make(self._expand(b"key", self._size))
        self._iv = int.from_bytes(self._expand(b"iv", 12))
        self._sent = 0

    def _expand(self, label: bytes, size: int) -> bytes:
        full = b"tls13 " + label
        info = size.to_bytes(2) + bytes([len(full)]) + full + b"\0"
        return HKDFExpand(self._hash, size, info).derive(self._secret)

    def seal(self, kind: int, body: bytes) -> bytes:
        """Return a record."""
        inner = body + bytes([kind])
        head = bytes([DATA]) + b"\x03\x03" + (len(inner) + 16).to_bytes(2)
        nonce = (self._iv ^ self._sent).to_bytes(12)
        self._sent += 1
        return head + self._aead.encrypt(nonce, inner, head)

    def update(self, message: bytes = KEY_UPDATE) -> bytes:
        """Return a KeyUpdate, and go on with the next secret."""
        sealed = self.seal(HANDSHAKE, message)
        self._take(self._expand(b"traffic upd", self._hash.digest_size))
        return sealed


def logged(authority: Authority) -> ssl.SSLContext:
    """Return a context whose secrets can be read, and which sends no records of its own."""
    context = authority.context(versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3))
    context.num_tickets = 0
    context.keylog_filename = str(authority.folder / "secrets.log")
    return context


def sends(make: Callable[[Direction], list[bytes]], *, stays: bool = True) -> Act:
    """Shake hands, read the request, and send records made by hand.

    Args:
        make: returns them; what is written in one piece goes in one piece.
        stays: whether the connection is kept after them.
    """

    async def act(session: Session) -> None:
        await session.visit.send(await session.handshake())
        await session.read_request()
        cipher = session.tls.cipher()
        assert cipher is not None
        direction = Direction(_secret_of(session), cipher[0])
        await session.visit.send(*make(direction))
        if stays:
            await session.wait()

    return act


def _secret_of(session: Session) -> bytes:
    """Return the secret that the key log has for this connection, which the random names."""
    log = Path(str(session.tls.context.keylog_filename)).read_text(encoding="ascii")
    lines = (line.split() for line in log.splitlines())
    name = ["SERVER_TRAFFIC_SECRET_0", session.client_random.hex()]
    return bytes.fromhex(next(each[2] for each in lines if each[:2] == name))
