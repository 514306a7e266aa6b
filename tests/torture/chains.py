"""Certificates and their chains: each fault has its own reason."""

import ssl
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from monitoring.probes.states import Reason, State
from tests.integration.probes.serving import answer, replies
from tests.torture.case import TLS_UNTRUSTED, UP, Case, Ending, phases
from tests.torture.certificates import (
    HERE,
    Authority,
    Issued,
    for_clients_only,
    issue,
    revocations,
    revoked,
    signed_with_sha1,
    within_names,
)
from tests.torture.session import plays, says
from tests.torture.stage import Stage

EXPIRED: Final = (State.DOWN, Reason.TLS_EXPIRED)
HOSTNAME: Final = (State.DOWN, Reason.TLS_HOSTNAME)
WEAK: Final = "ALL:@SECLEVEL=0"
REPLY: Final = says(answer(), farewell=True, stays=True)

Make = Callable[[Authority], tuple[Issued, ...]]


def shows(
    name: str,
    make: Make,
    ending: Ending,
    detail: str = "",
    *,
    called: str = "127.0.0.1",
    verify: bool = True,
    **more: Any,
) -> Case:
    """Return a row for a leaf and what is shown after it.

    Args:
        name: of the row.
        make: returns them.
        ending: as in the row.
        detail: as in the row.
        called: the host of the address to check.
        verify: whether the certificate has to be valid.
        more: fields of the row.
    """

    def context(authority: Authority) -> ssl.SSLContext:
        return authority.context(*make(authority), ciphers=WEAK)

    if called == "127.0.0.1":
        more["reached"] = phases("connect tls wait download" if ending == UP else "connect tls")
    return Case(
        group="TLS certificate",
        name=name,
        setup=plays(REPLY, tls=context, called=called),
        ending=ending,
        detail=detail,
        options={"verify_tls": verify},
        **more,
    )


def within(authority: Authority, *, depth: int = 1, **of_the_last: Any) -> list[Issued]:
    """Return a leaf and the authorities between it and the root, in order."""
    chain: list[Issued] = []
    by = authority.root
    for level in range(depth):
        options = of_the_last if level == depth - 1 else {}
        by = issue(f"Between {level}", by=by, **{"is_authority": True, **options})
        chain.insert(0, by)
    return [issue("127.0.0.1", by=by, names=HERE), *chain]


def shuffled(authority: Authority) -> tuple[Issued, ...]:
    leaf, third, second, first = within(authority, depth=3)
    return leaf, first, third, second


def stranger(_: Authority) -> tuple[Issued, ...]:
    root = issue("Stranger", is_authority=True)
    return (issue("127.0.0.1", by=root, names=HERE),)


def stranger_with_root(_: Authority) -> tuple[Issued, ...]:
    root = issue("Stranger", is_authority=True)
    return issue("127.0.0.1", by=root, names=HERE), root


def namesake(_: Authority) -> tuple[Issued, ...]:
    """Return what an authority of the trusted one's name, but not of its key, has signed."""
    root = issue("Trusted Root", is_authority=True)
    return (issue("127.0.0.1", by=root, names=HERE),)


def narrow(authority: Authority) -> tuple[Issued, ...]:
    by = within_names(authority.root, "example")
    return issue("localhost", by=by, names=["localhost"]), by


def by_a_leaf(authority: Authority) -> tuple[Issued, ...]:
    by = authority.leaf()
    return issue("127.0.0.1", by=by, names=HERE), by


def too_deep(authority: Authority) -> tuple[Issued, ...]:
    first = issue("First", by=authority.root, is_authority=True, path_length=0)
    second = issue("Second", by=first, is_authority=True)
    return issue("127.0.0.1", by=second, names=HERE), second, first


def short_key(authority: Authority) -> tuple[Issued, ...]:
    key = rsa.generate_private_key(65537, 1024)
    return (issue("127.0.0.1", by=authority.root, names=HERE, key=key),)


def old_signature(authority: Authority) -> tuple[Issued, ...]:
    key = rsa.generate_private_key(65537, 2048)
    by = issue("Between", by=authority.root, is_authority=True, key=key)
    return signed_with_sha1(by, HERE), by


def named(*names: str) -> Make:
    return lambda authority: (authority.leaf(*names),)


def dated(begin: float, end: float) -> Make:
    return lambda authority: (authority.leaf(days=(begin, end)),)


def only_a_common_name(authority: Authority) -> tuple[Issued, ...]:
    return (issue("localhost", by=authority.root),)


async def is_revoked(stage: Stage) -> str:
    """Serve a certificate that its authority's list says is revoked."""
    listed: list[bytes] = []

    async def lists(visit: Any) -> None:
        await replies(answer(200, listed[0], "Content-Type: application/pkix-crl"))(visit)

    address = (await stage.serve(lists)).url("/revoked.crl")
    leaf = revoked(stage.authority.root, address)
    listed.append(revocations(stage.authority.root, leaf.certificate.serial_number))
    return await plays(REPLY, tls=lambda authority: authority.context(leaf))(stage)


CASES = (
    shows("is in order", named(*HERE), UP),
    shows("is in order, by name", named("localhost"), UP, called="localhost"),
    shows("expired", dated(-9, -3), EXPIRED, "expired"),
    shows("is not yet valid", dated(3, 9), EXPIRED, "not yet valid"),
    shows("expired, and nobody minds", dated(-9, -3), UP, verify=False),
    shows("is for another name", named("other.example"), HOSTNAME, "127.0.0.1"),
    shows("is for another name, asked by name", named("other.example"), HOSTNAME, "localhost",
          called="localhost"),
    shows("is for another name, and nobody minds", named("other.example"), UP, verify=False),
    shows("is for another address", named("127.0.0.2"), HOSTNAME, "127.0.0.1"),
    shows("is for the name, not for the address", named("localhost"), HOSTNAME, "127.0.0.1"),
    shows("is for the address, not for the name", named("127.0.0.1"), HOSTNAME, "localhost",
          called="localhost"),
    shows("has the address as a name", lambda authority: (
        issue("127.0.0.1", by=authority.root),), HOSTNAME, "127.0.0.1"),
    # The common name is not to be looked at (RFC 9110, 4.3.4).
    shows("has a common name only", only_a_common_name, HOSTNAME, "localhost",
          called="localhost"),
    shows("is for names below", named("*.localhost"), HOSTNAME, "localhost", called="localhost"),
    shows("is for any name", named("*"), HOSTNAME, "localhost", called="localhost"),
    shows("is for part of a name", named("local*"), HOSTNAME, "localhost", called="localhost"),
    shows("is for the name in capitals", named("LOCALHOST"), UP, called="localhost"),
    shows("is for all names of a level", named("*.torture.example"), UP,
          called="a.torture.example"),
    shows("is for names of another level", named("*.torture.example"), HOSTNAME, r"a\.b\.",
          called="a.b.torture.example"),
    shows("is a stranger's", stranger, TLS_UNTRUSTED, "issuer"),
    shows("is a stranger's, and nobody minds", stranger, UP, verify=False),
    shows("is a stranger's, with the root", stranger_with_root, TLS_UNTRUSTED, "self.signed"),
    shows("is a namesake's", namesake, TLS_UNTRUSTED),
    shows("is signed by itself", lambda _: (issue("127.0.0.1", names=HERE),), TLS_UNTRUSTED,
          "self.signed"),
    shows("comes with its chain", lambda authority: tuple(within(authority, depth=2)), UP),
    shows("comes with its chain and the root", lambda authority: (
        *within(authority), authority.root), UP),
    shows("comes without its chain", lambda authority: (within(authority)[0],), TLS_UNTRUSTED,
          "issuer"),
    shows("comes with a gap in its chain", lambda authority: tuple(
        within(authority, depth=2)[:2]), TLS_UNTRUSTED, "issuer"),
    # Any order is to be put up with (RFC 8446, 4.4.2).
    shows("comes with its chain in the wrong order", shuffled, UP),
    shows("comes with others' certificates", lambda authority: (
        authority.leaf(), issue("Somebody"), issue("Else")), UP),
    shows("comes with an expired authority", lambda authority: tuple(
        within(authority, days=(-9, -3))), EXPIRED, "expired"),
    shows("comes with an authority that is none", by_a_leaf, TLS_UNTRUSTED),
    shows("comes with an authority too many", too_deep, TLS_UNTRUSTED),
    shows("comes with an authority for other names", narrow, TLS_UNTRUSTED, called="localhost"),
    shows("is for clients", lambda authority: (for_clients_only(authority.root),),
          TLS_UNTRUSTED, "purpose"),
    shows("has a key of 1024 bits", short_key, TLS_UNTRUSTED, "weak"),
    shows("has a signature of SHA-1", old_signature, TLS_UNTRUSTED, "weak"),
    # By design: a list is not fetched, a responder not asked. The check says what it saw.
    Case(group="TLS certificate", name="is revoked, which nobody looks up", setup=is_revoked,
         ending=UP),
)  # fmt: skip
