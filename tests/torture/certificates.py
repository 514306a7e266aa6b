"""Certificates of every kind of fault, and server contexts that show them."""

import datetime as dt
import hashlib
import ipaddress
import itertools
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DAY: Final = dt.timedelta(days=1)
HERE: Final = ("127.0.0.1", "localhost")
"""What the servers are called."""

_serials = itertools.count(1000)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def name(common: str) -> x509.Name:
    """Return a distinguished name."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Torture"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def issue(
    common: str,
    *,
    by: Issued | None = None,
    names: Sequence[str] = (),
    days: tuple[float, float] = (-2, 30),
    is_authority: bool = False,
    path_length: int | None = None,
    key: Key | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Issued:
    """Return a certificate.

    Args:
        common: the subject's common name.
        by: who signs; None: itself.
        names: the host names and addresses that it is for.
        days: from when to when it holds, in days from now.
        is_authority: whether it may sign others, ``path_length`` levels of authorities deep.
        path_length: None: as many as one likes.
        key: its own; None: a new one.
        extensions: more of them, each with whether it is critical.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(by.certificate.subject if by else name(common))
        .public_key(key.public_key())
        .serial_number(next(_serials))
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(is_authority, path_length), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """The one that the probe trusts.

    Args:
        folder: where OpenSSL reads certificates from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = issue("Trusted Root", is_authority=True)

    def certificate_to(self, path: Path) -> None:
        """Write the root's certificate: the trust store of the probe."""
        path.write_bytes(self.root.pem)

    def leaf(self, *names: str, days: tuple[float, float] = (-2, 30)) -> Issued:
        """Return a certificate for a server, by the root itself."""
        return issue((names or HERE)[0], by=self.root, names=names or HERE, days=days)

    def context(
        self,
        leaf: Issued | None = None,
        *chain: Issued,
        ciphers: str | None = None,
        versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None,
    ) -> ssl.SSLContext:
        """Return a server's side that shows a leaf and a chain.

        Args:
            leaf: None: one with which nothing is wrong.
            chain: what is shown after it, in this order.
            ciphers: OpenSSL's list, for what its default does not allow.
            versions: the lowest and the highest of the protocol.
        """
        leaf = leaf or self.leaf()
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if ciphers:
            made.set_ciphers(ciphers)
        if versions:
            made.minimum_version, made.maximum_version = versions
        path = self.folder / f"{next(_serials)}.pem"
        path.write_bytes(leaf.key_pem + leaf.pem + b"".join(each.pem for each in chain))
        made.load_cert_chain(path)
        return made


def signed_with_sha1(by: Issued, names: Sequence[str]) -> Issued:
    """Return a certificate with a signature of RSA and SHA-1, which libraries no longer make.

    The two algorithms' identifiers differ in their last byte (RFC 8017, A.2.4), the padding
    is EMSA-PKCS1-v1_5 (9.2).
    """
    assert isinstance(by.key, rsa.RSAPrivateKey)
    modern = issue("SHA-1", by=by, names=names)
    identifier = bytes.fromhex("06092a864886f70d0101")
    body = modern.certificate.tbs_certificate_bytes.replace(
        identifier + b"\x0b", identifier + b"\x05"
    )
    digest = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(body).digest()
    numbers = by.key.private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    padded = b"\0\x01" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    signature = pow(int.from_bytes(padded), numbers.d, modulus).to_bytes(size)
    algorithm = bytes.fromhex("300d") + identifier + bytes.fromhex("050500")
    bits = b"\x03" + _length(len(signature) + 1) + b"\0" + signature
    whole = body + algorithm + bits
    return Issued(x509.load_der_x509_certificate(b"\x30" + _length(len(whole)) + whole), modern.key)


def _length(count: int) -> bytes:
    """Return a length as DER writes it (X.690, 8.1.3)."""
    if count < 128:
        return bytes([count])
    size = (count.bit_length() + 7) // 8
    return bytes([0x80 | size]) + count.to_bytes(size)


def revoked(by: Issued, address: str) -> Issued:
    """Return a certificate whose revocation list and responder are at ``address``."""
    where = [x509.UniformResourceIdentifier(address)]
    point = x509.DistributionPoint(where, None, None, None)
    responder = x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.OCSP, where[0])
    return issue(
        "revoked",
        by=by,
        names=HERE,
        extensions=[
            (x509.CRLDistributionPoints([point]), False),
            (x509.AuthorityInformationAccess([responder]), False),
            (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
        ],
    )


def revocations(by: Issued, *serials: int) -> bytes:
    """Return the list, in DER, of what an authority has revoked."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(now - DAY)
        .next_update(now + DAY)
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def for_clients_only(by: Issued) -> Issued:
    """Return a certificate that may not stand for a server (RFC 5280, 4.2.1.12)."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return issue("client", by=by, names=HERE, extensions=[(usage, True)])


def within_names(by: Issued, permitted: str) -> Issued:
    """Return an authority that may only certify names under one (RFC 5280, 4.2.1.10)."""
    constraint = x509.NameConstraints([x509.DNSName(permitted)], None)
    return issue("narrow", by=by, is_authority=True, extensions=[(constraint, True)])
