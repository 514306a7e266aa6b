"""OpenSSL for a client: whom it believes, for which name, and what it offers a server.

It is the OpenSSL of ``cryptography``'s wheel, through pyOpenSSL: its handshake takes two thirds
of the time of the system's 3.0, which ``ssl`` uses. What ``ssl.create_default_context`` asks
of a server is asked here too (protocols, ciphers, purpose, name, strength of keys), and the
system's trust store is found as ``ssl`` finds it.

pyOpenSSL has no words for a name to verify (pyca/pyopenssl#1020) nor for groups. OpenSSL
itself has, and compares names better than we would, so it is asked through the binding below
pyOpenSSL. What is missing there raises: nothing is believed that was not verified.
"""

import errno
import os
import ssl
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from monitoring.probes import vantage
from monitoring.probes.faults import Disbelieved, NoTrustStore

_openssl: Final[Any] = Binding.lib
_text: Final[Any] = Binding.ffi.string

_CIPHERS: Final = (
    b"@SECLEVEL=2:ECDH+AESGCM+AES128:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES"
    b":!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
)
_CIPHERS_1_3: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Python's choice for ``ssl``, first what browsers put first: SHA-384 would cost a twentieth."""

_GROUPS: Final = b"X25519:P-256:X448:P-521:P-384:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192"
"""What OpenSSL 3.0 offers, of which the first is the one whose share goes with the hello.

OpenSSL's default since 3.5 adds a share of ML-KEM, which costs a fifth of the handshake. To
offer ML-KEM without a share would be worse: servers that prefer it ask for one, and a round
trip more would be reported as the target's time.
"""

_PROTOCOLS: Final = [b"http/1.1"]
_REFUSED: Final = "certificate verify failed"
_ANOTHER_NAME: Final = 62
"""X509_V_ERR_HOSTNAME_MISMATCH."""


@lru_cache(maxsize=2)
def client_context(*, verify: bool) -> SSL.Context:
    """Return the shared context; where it verifies, with the system's trust store.

    Reading the store costs milliseconds and a megabyte, so there is one context for each
    answer to the question. OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR name another store.

    Raises:
        NoTrustStore: there is nothing to verify against; every target would look untrusted.
        OSError: there are no descriptors left to read it with.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_ALL | SSL.OP_NO_COMPRESSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 14 kB of the 44 that a session would hold
    context.set_cipher_list(_CIPHERS)
    context.set_tls13_ciphersuites(_CIPHERS_1_3)
    context.set_alpn_protos(_PROTOCOLS)
    _offer_groups(context)
    if verify:
        context.set_verify(SSL.VERIFY_PEER)
        _openssl.X509_VERIFY_PARAM_set_hostflags(
            _openssl.SSL_CTX_get0_param(context._context),  # noqa: SLF001 - see the module
            # A common name alone has not been a name for long (RFC 9110, 4.3.4), nor has a
            # star been part of a label (RFC 9525, 6.3); browsers agree.
            _openssl.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
            | _openssl.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
        )
        _load_store(context)
    else:
        context.set_verify(SSL.VERIFY_NONE)
    return context


def expect(connection: SSL.Connection, host: str) -> bool:
    """Ask a server for the certificate of a host, and let OpenSSL take no other's.

    Returns:
        Whether OpenSSL does. Since 4.0 it knows no names of a single letter, nor any with a
        hyphen at the edge of a label, where DNS does: these are left to ``compare``.

    Raises:
        ValueError: a host that no certificate can be for.
    """
    name, address = _named(host)
    asked = _openssl.SSL_get0_param(connection._ssl)  # noqa: SLF001 - see the module
    if address is not None:
        if _openssl.X509_VERIFY_PARAM_set1_ip(asked, address, len(address)) != 1:
            raise MemoryError
        return True
    connection.set_tlsext_host_name(name)
    return bool(_openssl.X509_VERIFY_PARAM_set1_host(asked, name, len(name)) == 1)


def compare(connection: SSL.Connection, host: str) -> None:
    """Compare a host with what a certificate is for, where OpenSSL has not and it is verified.

    By the rules of RFC 9525, 6.3: a star stands for one whole label, with two more after it.

    Raises:
        Disbelieved: it is for others.
    """
    if connection.get_verify_mode() == SSL.VERIFY_NONE:
        return
    shown = connection.get_peer_certificate(as_cryptography=True)
    name = host.removesuffix(".").lower()
    above = name.partition(".")[2]
    wanted = {name, f"*.{above}"} if "." in above else {name}
    try:
        assert shown is not None
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = {each.lower() for each in names.get_values_for_type(x509.DNSName)}
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        found = set()
    if not wanted & found:
        raise Disbelieved(_ANOTHER_NAME, "hostname mismatch")


def disbelief(connection: SSL.Connection, error: SSL.Error) -> Disbelieved | None:
    """Return what is wrong with a certificate, None where a handshake failed for another cause."""
    if _REFUSED not in openssl_words(error):
        return None
    code = _openssl.SSL_get_verify_result(connection._ssl)  # noqa: SLF001 - see the module
    return Disbelieved(code, _text(_openssl.X509_verify_cert_error_string(code)).decode())


def openssl_words(error: SSL.Error) -> list[str]:
    """Return what OpenSSL says of an error, the cause first; nothing where it has no words."""
    queue = error.args[0] if error.args else None
    return [words for _, _, words in queue] if isinstance(queue, list) else []


@lru_cache(maxsize=8192)
def _named(host: str) -> tuple[bytes, bytes | None]:
    """Return a host as it is certified: its name, and its address if it is one."""
    # A name is sent, and is certified, without the root's dot (RFC 6066, 3).
    name = host.removesuffix(".")
    if not name or name.startswith("."):  # to OpenSSL that would be any name below
        raise ValueError(f"no certificate can be for {host!r}")
    try:
        return name.encode("ascii"), ip_address(name).packed
    except ValueError:
        return name.encode("ascii"), None


def _offer_groups(context: SSL.Context) -> None:
    """Offer our groups, or OpenSSL's default, which is slower and no worse."""
    offer = getattr(_openssl, "SSL_CTX_set1_curves_list", None)
    if offer is not None:
        offer(context._context, _GROUPS)  # noqa: SLF001 - see the module


def _load_store(context: SSL.Context) -> None:
    """Load the trust store, from where OpenSSL would if it were the system's."""
    paths = ssl.get_default_verify_paths()
    file = os.environ.get(paths.openssl_cafile_env, paths.openssl_cafile)
    folders = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
    try:
        context.load_verify_locations(file)
        loaded = True
    except SSL.Error:
        if vantage.out_of_descriptors():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None
        loaded = False  # it need not be there
    if folders:
        context.load_verify_locations(None, folders)  # it reads them as it needs them
    if not loaded and not any(_holds_something(Path(each)) for each in folders.split(os.pathsep)):
        raise NoTrustStore(
            "this worker trusts no certificate authority: install ca-certificates, or let "
            "SSL_CERT_FILE name a file of them"
        )


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is not None
