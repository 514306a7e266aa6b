"""Names: what a name server answers, or does not, and which addresses come of it."""

import socket
from collections.abc import Mapping
from typing import Any, Final

from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.outcome import IPVersion
from monitoring.probes.states import Reason, State
from tests.integration.probes.serving import answer, redirects, replies, routes
from tests.torture.case import SHORT, UP, Case, Ending, Setup
from tests.torture.stage import Stage

DNS_ERROR: Final = (State.DOWN, Reason.DNS_ERROR)
DNS_TIMEOUT: Final = (State.DOWN, Reason.DNS_TIMEOUT)
REFUSED: Final = (State.DOWN, Reason.CONNECT_REFUSED)
SILENT: Final = (State.DOWN, Reason.CONNECT_TIMEOUT)
FORBIDDEN: Final = (State.INTERNAL, Reason.FORBIDDEN_ADDRESS)
ONLY_THE_FIRST: Final = {"guard": Guard(parse_allowed_targets("127.0.0.1/32"))}
HERE: Final = {"addresses": ["127.0.0.1"]}

Known = Mapping[str, Any]
"""Fields of the name server's ``Says``; under ``turns``, several that follow each other."""


def knows(
    name: str, known: Known, *, host: str = "127.0.0.1", silent: tuple[str, ...] = ()
) -> Setup:
    """Return a set-up of a name and a server.

    Args:
        name: without the zone, in which it stands alone.
        known: what is said of it.
        host: the address that the server listens at.
        silent: addresses that take no connection at the server's port.
    """

    async def setup(stage: Stage) -> str:
        whole = await stage.know(name, known)
        server = await stage.serve(replies(answer()), host=host)
        for address in silent:
            fill(stage, address, server.port)
        return server.url(host=whole)

    return setup


def fill(stage: Stage, address: str, port: int) -> None:
    """Let an address take no connection: its queue is full."""
    listener = stage.hold(socket.socket())
    listener.bind((address, port))
    listener.listen(0)
    for _ in range(3):
        filler = stage.hold(socket.socket())
        filler.setblocking(False)
        filler.connect_ex((address, port))


def leads_to_a_name(name: str, known: Known) -> Setup:
    """Return a server that redirects to a name at its own port."""

    async def setup(stage: Stage) -> str:
        whole = await stage.know(name, known)
        table: dict[str, bytes] = {"/end": answer()}
        server = await stage.serve(routes(table))
        table["/"] = redirects(server.url("/end", host=whole))
        return server.url()

    return setup


async def rebinds(stage: Stage) -> str:
    """Let a name be allowed at first, and forbidden from then on."""
    whole = await stage.know(
        "rebinds",
        {
            "turns": [
                {"addresses": ["127.0.0.1"], "ttl": 0},
                {"addresses": ["127.0.0.2"], "ttl": 0},
            ]
        },
    )
    table: dict[str, bytes] = {"/end": answer()}
    server = await stage.serve(routes(table))
    table["/"] = redirects("/end")
    return server.url(host=whole)


def case(name: str, setup: Setup, ending: Ending, **more: Any) -> Case:
    more.setdefault("detail", r"[a-z]+\.torture\.example" if ending[1] in _OF_DNS else "")
    return Case(group="DNS", name=name, setup=setup, ending=ending, **more)


_OF_DNS: Final = {Reason.DNS_ERROR, Reason.DNS_TIMEOUT}
DEAD: Final = ("127.0.0.2", "127.0.0.3")

CASES = (
    case("answers", knows("answers", HERE), UP, holds={"ip": "127.0.0.1"},
         reached=frozenset({"dns", "connect", "wait", "download"})),
    case("says that there is no such name", knows("none", {"rcode": "NXDOMAIN"}), DNS_ERROR,
         reached=frozenset({"dns"}), holds={"ip": None}),
    case("says that the name has no address", knows("empty", {}), DNS_ERROR,
         reached=frozenset({"dns"})),
    case("says that the name has no address, without a reason",
         knows("bare", {"ungrounded": True}), DNS_ERROR),
    case("says that it failed", knows("failed", {"rcode": "SERVFAIL"}), DNS_ERROR),
    case("refuses to answer", knows("refused", {"rcode": "REFUSED"}), DNS_ERROR),
    case("says that it does not understand", knows("formerr", {"rcode": "FORMERR"}), DNS_ERROR),
    case("says nothing", knows("silent", {"silent": True}), DNS_TIMEOUT, seconds=SHORT,
         reached=frozenset({"dns"})),
    case("answers late, but in time", knows("late", {**HERE, "after": 0.2}), UP),
    case("answers too late", knows("toolate", {**HERE, "after": 2.0}), DNS_TIMEOUT,
         seconds=SHORT),
    case("answers in full over TCP only", knows("truncated", {**HERE, "truncated": True}), UP),
    case("answers with 500 addresses over TCP", knows("many", {
        "addresses": [f"127.0.{n // 250}.{n % 250 + 1}" for n in range(500)],
        "truncated": True}), UP),
    case("answers through three aliases", knows("aliased", {
        **HERE, "aliases": [("a1.torture.example", 60), ("a2.torture.example", 60),
                            ("a3.torture.example", 60)]}), UP),
    case("answers with an alias of nothing", knows("dangling", {
        "aliases": [("nowhere.torture.example", 60)]}), DNS_ERROR),
    case("answers with aliases in a circle", knows("circle", {
        "aliases": [("circle2.torture.example", 60), ("circle.torture.example", 60)]}),
         DNS_ERROR),
    case("answers with a time to live of 0", knows("ttl", {**HERE, "ttl": 0}), UP),
    # What cannot be an answer to the question is no answer (RFC 5452, 9.1).
    case("answers with noise", knows("noise", {"garbage": b"\0\xff" * 40}), DNS_TIMEOUT,
         seconds=SHORT),
    case("answers with nothing at all", knows("void", {"garbage": b""}), DNS_TIMEOUT,
         seconds=SHORT),
    case("is outrun by lies", knows("lies", {**HERE, "lying": ["127.0.0.9"]}), UP,
         holds={"ip": "127.0.0.1"}),
    case("has an IPv6 address only", knows("six", {"addresses": ["::1"]}, host="::1"), UP,
         holds={"ip": "::1"}),
    case("has an IPv6 address only, and IPv4 is asked for", knows("sixfour", {
        "addresses": ["::1"]}, host="::1"), DNS_ERROR,
         options={"ip_version": IPVersion.IPV4}),
    case("has an IPv4 address only, and IPv6 is asked for", knows("foursix", HERE), DNS_ERROR,
         options={"ip_version": IPVersion.IPV6}),
    case("has an address that refuses and one that answers", knows("half", {
        "addresses": ["127.0.0.2", "127.0.0.1"]}), UP, holds={"ip": "127.0.0.1"}),
    case("has an address that is silent and one that answers", knows("halfsilent", {
        "addresses": ["127.0.0.2", "127.0.0.1"]}, silent=("127.0.0.2",)), UP,
         holds={"ip": "127.0.0.1"}),
    case("has addresses that all refuse", knows("refusing", {"addresses": DEAD}), REFUSED,
         detail=r"refused by 127\.0\.0\.[23] port"),
    case("has addresses that are all silent", knows("allsilent", {"addresses": DEAD},
         silent=DEAD), SILENT, seconds=SHORT, detail=r"127\.0\.0\.[23] port"),
    case("has a forbidden address only", knows("forbidden", {"addresses": ["127.0.0.2"]}),
         FORBIDDEN, options=ONLY_THE_FIRST, detail="SENTINEL_ALLOWED_TARGETS"),
    case("has a forbidden address among others", knows("among", {
        "addresses": ["127.0.0.1", "127.0.0.2"]}), FORBIDDEN, options=ONLY_THE_FIRST,
         detail="SENTINEL_ALLOWED_TARGETS", holds={"redirects": 0}),
    case("has an address that changes to a forbidden one", rebinds, FORBIDDEN,
         options=ONLY_THE_FIRST, detail="SENTINEL_ALLOWED_TARGETS", holds={"redirects": 1}),
    case("redirects to a name that is not there", leads_to_a_name("gone", {
        "rcode": "NXDOMAIN"}), DNS_ERROR, holds={"redirects": 1}),
    case("redirects to a name without an answer", leads_to_a_name("mute", {"silent": True}),
         DNS_TIMEOUT, seconds=SHORT, holds={"redirects": 1}),
    case("redirects to a name that is there", leads_to_a_name("there", HERE), UP,
         holds={"redirects": 1}),
)  # fmt: skip
