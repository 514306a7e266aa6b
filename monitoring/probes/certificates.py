"""What a server's certificate says, for people; also of one that was not believed."""

import asyncio
import ssl
from datetime import UTC
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from monitoring.probes.faults import HungUp
from monitoring.probes.outcome import Certificate
from monitoring.probes.stopwatch import Stopwatch
from monitoring.probes.tls import Session, ssl_context
from monitoring.probes.wire import connect

_MAX_NAME_CHARS: Final = 200
_SHOWING: Final = (OSError, ssl.SSLError, HungUp, ValueError)


@lru_cache(maxsize=1024)
def read_certificate(der: bytes) -> Certificate | None:
    """Return what a certificate says, None where it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=_subject(certificate),
            issuer=_named(certificate.issuer, NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME),
            not_before=certificate.not_valid_before_utc.astimezone(UTC),
            not_after=certificate.not_valid_after_utc.astimezone(UTC),
        )
    except (ValueError, x509.InvalidVersion):
        # Whoever makes one that OpenSSL accepts and this parser does not is no defect of ours.
        return None


async def shown_by(address: str, port: int, host: str) -> Certificate | None:
    """Return the certificate that a server shows, on a connection that only shakes hands.

    For one whose verification has failed: OpenSSL then keeps no certificate.

    Args:
        address: judged already.
        port: the TCP port.
        host: whose certificate is asked for (SNI).
    """
    try:
        context = ssl_context(verify=False)
        wire = await connect(address, port, asyncio.get_running_loop())
        try:
            session = Session(wire, host, context)
            await session.handshake(Stopwatch())
            der = session.certificate
        finally:
            wire.close()
    except _SHOWING:
        return None
    return read_certificate(der) if der else None


def _subject(certificate: x509.Certificate) -> str:
    if common := _named(certificate.subject, NameOID.COMMON_NAME):
        return common
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return _plain(certificate.subject.rfc4514_string())
    found = names.get_values_for_type(x509.DNSName) or [
        str(address) for address in names.get_values_for_type(x509.IPAddress)
    ]
    return _plain(found[0]) if found else _plain(certificate.subject.rfc4514_string())


def _named(name: x509.Name, *kinds: x509.ObjectIdentifier) -> str:
    parts = [str(each.value) for kind in kinds for each in name.get_attributes_for_oid(kind)[:1]]
    return _plain(" ".join(parts))


def _plain(text: str) -> str:
    """Return a text that a stranger wrote, on one line and of a sane length."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)[
        :_MAX_NAME_CHARS
    ]
