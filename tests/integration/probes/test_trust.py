"""Whom the probe believes, held against Python's own ``ssl`` over handshakes in memory."""

import errno
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from OpenSSL.crypto import X509

from monitoring.probes import trust, vantage
from monitoring.probes.faults import Disbelieved
from monitoring.probes.states import Reason
from monitoring.probes.tls import Session
from monitoring.probes.trust import client_context
from tests.integration.probes.checking import UP, check, down, ending, internal
from tests.integration.probes.conftest import Serve
from tests.integration.probes.nameserver import NameServer
from tests.integration.probes.serving import answer, replies
from tests.torture.certificates import Authority, Issued, issue

KEY = ec.generate_private_key(ec.SECP256R1())
LABELS = ["a", "b", "-a", "a-", "*", "a*", "*a", "xn--a", "xn--*", "A", "example", "1", "127"]
HOSTS = [
    *("a.example", "A.EXAMPLE", "a.example.", "b.a.example", "example", "xn--a.example"),
    *("127.0.0.1", "127.0.0.2", "::1", "localhost", "a_b.example", "1.example", "ab.b.example"),
    *("a", "-a.example", "a-.example", "-a.a.example", "a.-a.example", "-A.A.Example."),
]
NAMES = [
    *(
        "a.example",
        "A.Example",
        "*.example",
        "*.a.example",
        "*",
        "*.*.example",
        "a.*",
        "a*.example",
    ),
    *("*a.example", "xn--*.example", "*.xn--a.example", "127.0.0.1", "::1", "localhost"),
    *("example", "a_b.example", ".example", "*.", "a", "-a.example", "-a.*.example", "A-.example"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """The one whom both sides trust, and nobody else."""
    folder = tmp_path_factory.mktemp("trust")
    authority = Authority(folder)
    authority.certificate_to(folder / "trust.pem")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "trust.pem"))
        patch.setenv("SSL_CERT_DIR", str(folder / "none"))
        client_context.cache_clear()
        yield authority
    client_context.cache_clear()


def serving(leaf: Issued) -> SSL.Context:
    """Return a server's side of OpenSSL as it is by default."""
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.use_privatekey(leaf.key)
    made.use_certificate(leaf.certificate)
    return made


class OpenSSLs:
    """The probe's client in memory."""

    def __init__(self, host: str) -> None:
        self.connection = SSL.Connection(client_context(verify=True), None)
        self.connection.set_connect_state()
        self.to_compare = None if trust.expect(self.connection, host) else host

    def step(self, received: bytes) -> tuple[bytes, int | None]:
        """Take what came; return what goes, and how it ended if it has: OpenSSL's code."""
        if received:
            self.connection.bio_write(received)
        code: int | None = 0
        try:
            self.connection.do_handshake()
            if self.to_compare is not None:
                trust.compare(self.connection, self.to_compare)
        except Disbelieved as error:
            code = error.code
        except SSL.WantReadError:
            code = None
        except SSL.Error as error:
            found = trust.disbelief(self.connection, error)
            assert found is not None
            code = found.code
        return taken(self.connection), code


class Pythons:
    """The client of Python's ``ssl`` in memory."""

    def __init__(self, host: str, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = host.removesuffix(".")
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def step(self, received: bytes) -> tuple[bytes, int | None]:
        """As the other's."""
        self.incoming.write(received)
        code: int | None = 0
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            code = None
        except ssl.SSLCertVerificationError as error:
            code = error.verify_code
        return self.outgoing.read(), code


def taken(connection: SSL.Connection) -> bytes:
    """Return what a side wants to send."""
    try:
        return connection.bio_read(65536)
    except SSL.WantReadError:
        return b""


@dataclass
class Met:
    """What came of a handshake: OpenSSL's code for the certificate, and the client's flights."""

    code: int
    flights: int
    server: SSL.Connection
    server_error: str


def shake(client: OpenSSLs | Pythons, context: SSL.Context) -> Met:
    """Shake hands in memory."""
    server = SSL.Connection(context, None)
    server.set_accept_state()
    sent, flights, error = b"", 0, ""
    while True:
        said, code = client.step(sent)
        flights += bool(said)
        if said:
            server.bio_write(said)
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as raised:
            error = str(raised)
        sent = taken(server)
        if code is not None:
            return Met(code, flights, server, error)
        assert sent, error


def pythons(authority: Authority) -> ssl.SSLContext:
    """Return Python's default, which looks at no common name either."""
    made = ssl.create_default_context()
    assert made.cert_store_stats()["x509"] == 1
    made.hostname_checks_common_name = False
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_believed_where_python_believes_it(authority: Authority, name: str) -> None:
    context = serving(issue("a.example", by=authority.root, names=[name], key=KEY))
    theirs = pythons(authority)

    for host in HOSTS:
        ours = shake(OpenSSLs(host), context).code

        assert ours == shake(Pythons(host, theirs), context).code, host
        assert ours in (0, 62, 64)


@given(data=st.data())
def test_any_name_is_believed_where_python_believes_it(authority: Authority, data: Any) -> None:
    dotted = st.lists(st.sampled_from(LABELS), min_size=1, max_size=4).map(".".join)
    names = data.draw(st.lists(dotted, min_size=1, max_size=3))
    host = data.draw(dotted | st.sampled_from(names))
    context = serving(issue("a.example", by=authority.root, names=names, key=KEY))

    ours = shake(OpenSSLs(host), context).code

    assert ours == shake(Pythons(host, pythons(authority)), context).code


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize("none", ["", ".", "..", ".example"])
def test_no_certificate_is_for_a_host_that_is_none(none: str) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        OpenSSLs(none)


def test_a_name_that_openssl_does_not_know_is_compared_only_where_it_is_verified(
    serve: Serve, names: NameServer, authority: Authority
) -> None:
    names.known["-a-.example"] = ["127.0.0.1"]
    url = serve(replies(answer()), tls=authority.context()).url(host="-a-.example")
    right = authority.context(authority.leaf("-a-.example"))

    assert ending(check(url)) == down(Reason.TLS_HOSTNAME)
    assert ending(check(url, verify_tls=False)) == UP
    assert ending(check(serve(replies(answer()), tls=right).url(host="-a-.example"))) == UP


def test_who_is_not_believed_is_told_why(authority: Authority) -> None:
    """The alert is for the log of who runs the server."""
    context = serving(issue("a", by=authority.root, names=["other.example"], key=KEY))

    assert "bad certificate" in shake(OpenSSLs("a.example"), context).server_error


def hello(client: OpenSSLs | Pythons) -> tuple[set[str], dict[int, bytes]]:
    """Return what a hello offers (RFC 8446, 4.1.2): ciphers, and extensions by number."""
    said, _ = client.step(b"")
    at = 5 + 4 + 2 + 32
    at += 1 + said[at]
    size = int.from_bytes(said[at : at + 2])
    ciphers = {said[each : each + 2].hex() for each in range(at + 2, at + 2 + size, 2)}
    at += 2 + size
    at += 1 + said[at] + 2
    extensions = {}
    while at < len(said):
        size = int.from_bytes(said[at + 2 : at + 4])
        extensions[int.from_bytes(said[at : at + 2])] = said[at + 4 : at + 4 + size]
        at += 4 + size
    return ciphers - {"00ff"}, extensions  # which says what an extension says


def test_the_hello_offers_what_python_s_offers(authority: Authority) -> None:
    """Who was reached by the system's OpenSSL 3.0 is reached, and nobody weaker."""
    theirs = pythons(authority)
    theirs.set_alpn_protocols(["http/1.1"])

    ciphers, ours = hello(OpenSSLs("a.example"))
    as_python, extensions = hello(Pythons("a.example", theirs))

    assert ciphers == as_python
    for same in (0, 10, 16, 43):  # name, groups, protocols above TLS, versions
        assert ours[same] == extensions[same]
    schemes = {ours[13][at : at + 2] for at in range(2, len(ours[13]), 2)}
    assert schemes >= {extensions[13][at : at + 2] for at in range(2, len(extensions[13]), 2)}
    # One share, of X25519: a second, of ML-KEM, would cost a fifth of the handshake.
    assert ours[51][:6].hex() == "0024001d0020"
    assert len(ours[51]) == 38


def test_a_server_that_prefers_ml_kem_is_reached_without_another_round_trip(
    authority: Authority,
) -> None:
    """Where ML-KEM is offered without its share, OpenSSL's server asks for it."""
    met = shake(OpenSSLs("127.0.0.1"), serving(authority.leaf()))

    assert (met.code, met.flights, met.server.get_group_name()) == (0, 2, "x25519")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_server_of_one_curve_is_reached_with_another_round_trip(
    authority: Authority, curve: ec.EllipticCurve
) -> None:
    context = serving(authority.leaf())
    context.set_tmp_ecdh(curve)

    met = shake(OpenSSLs("127.0.0.1"), context)

    assert (met.code, met.flights, met.server.get_group_name()) == (0, 3, curve.name)


@pytest.mark.parametrize(
    "error",
    [
        SSL.Error(),
        SSL.Error([]),
        SSL.Error([("SSL routines", "", "unexpected message")]),
        SSL.ZeroReturnError(),
        SSL.SysCallError(-1, "Unexpected EOF"),
    ],
)
def test_a_handshake_that_failed_otherwise_says_nothing_of_the_certificate(
    authority: Authority, error: SSL.Error
) -> None:
    client = OpenSSLs("a.example")
    assert shake(client, serving(authority.leaf())).code == 62

    assert trust.disbelief(client.connection, error) is None


def test_what_failed_elsewhere_is_not_this_connection_s_error(authority: Authority) -> None:
    """OpenSSL keeps errors by thread; before 4.0 the next read would have found one left behind."""
    client = OpenSSLs("127.0.0.1")
    session = Session(cast("Any", None), "127.0.0.1", client_context(verify=True), http2=False)
    session._tls = client.connection
    assert shake(client, serving(authority.leaf())).code == 0

    Binding.lib.ERR_put_error(20, 0, 1, b"elsewhere", 1)

    assert not session.has_spoken()


def hashed(authority: Authority, folder: Path) -> None:
    """Put the root's certificate into a folder as OpenSSL looks for it."""
    folder.mkdir()
    number = X509.from_cryptography(authority.root.certificate).subject_name_hash()
    authority.certificate_to(folder / f"{number:08x}.0")


def test_a_store_in_one_of_several_folders_is_read(
    authority: Authority, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hashed(authority, tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{tmp_path / 'certificates'}")
    client_context.cache_clear()

    assert ending(check(serve(replies(answer()), tls=authority.context()).url())) == UP
    client_context.cache_clear()


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA"])
@pytest.mark.parametrize(
    ("out", "reason"), [(False, Reason.PROBE_ERROR), (True, Reason.RESOURCE_LIMIT)]
)
def test_a_store_that_cannot_be_read_is_our_fault_and_not_kept(
    serve: Serve,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: bytes,
    out: bool,
    reason: Reason,
) -> None:
    store = tmp_path / "trust.pem"
    store.write_bytes(content)
    url = serve(replies(answer()), tls=authority.context()).url()
    with monkeypatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(store))
        patch.setattr(vantage, "out_of_descriptors", lambda: out)
        client_context.cache_clear()

        assert ending(check(url)) == internal(reason)

    assert ending(check(url)) == UP


def test_there_is_one_context_that_verifies_and_one_that_does_not(authority: Authority) -> None:
    assert client_context(verify=True) is client_context(verify=True)
    assert client_context(verify=True).get_verify_mode() == SSL.VERIFY_PEER
    assert client_context(verify=False).get_verify_mode() == SSL.VERIFY_NONE


def test_out_of_descriptors_is_the_system_s_error(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    monkeypatch.setattr(vantage, "out_of_descriptors", lambda: True)
    client_context.cache_clear()

    with pytest.raises(OSError, match="Too many") as raised:
        client_context(verify=True)

    assert raised.value.errno == errno.EMFILE
