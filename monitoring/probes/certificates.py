"""What a server's certificate says, for people; also of one that was not believed."""

from datetime import UTC
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from monitoring.probes.faults import Disbelieved
from monitoring.probes.outcome import Certificate

_MAX_NAME_CHARS: Final = 200
# X509_V_ERR_* of OpenSSL's <openssl/x509_vfy.h>.
_CHAIN_PROBLEMS: Final = MappingProxyType(
    {
        18: "it is self-signed",
        19: "its chain ends in a self-signed certificate that this worker does not trust",
        20: "this worker does not trust its issuer, or the server left out the certificates "
        "between (incomplete chain)",
        21: "the server left out the certificates between it and its authority (incomplete chain)",
    }
)


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


def problem_of(error: Disbelieved) -> str:
    """Return what is wrong with a certificate or its chain, in words."""
    return _CHAIN_PROBLEMS.get(error.code, error.words)


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
