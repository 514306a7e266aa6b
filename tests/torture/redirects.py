"""Redirects: where they lead, what goes with them, and whether they are followed."""

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.states import Reason, State
from tests.integration.probes.serving import (
    Behaviour,
    Visit,
    answer,
    redirects,
    replies,
    resets_after,
    routes,
    says_nothing,
    stays_silent_after,
)
from tests.torture.case import CLOSED, NOT_HTTP, SHORT, STATUS, TIMEOUT, UP, Case, Ending, Setup
from tests.torture.certificates import Authority, issue
from tests.torture.serving import Context, serves
from tests.torture.stage import Stage

LOOP: Final = (State.DOWN, Reason.REDIRECT_LOOP)
INVALID: Final = (State.DOWN, Reason.REDIRECT_INVALID)
FORBIDDEN: Final = (State.INTERNAL, Reason.FORBIDDEN_ADDRESS)
ONLY_THE_FIRST: Final = {"guard": Guard(parse_allowed_targets("127.0.0.1/32"))}
SECRETS: Final = (
    ("Authorization", "Bearer hunter2"),
    ("Cookie", "a=hunter2"),
    ("X-Key", "hunter2"),
)
BODY: Final = b'{"name": "value"}'


def case(name: str, setup: Setup, ending: Ending, **more: Any) -> Case:
    return Case(group="redirect", name=name, setup=setup, ending=ending, **more)


def paths(table: Mapping[str, bytes]) -> Setup:
    """Return a server that answers by path, checked at /a; {port} stands for its own."""

    async def setup(stage: Stage) -> str:
        filled: dict[str, bytes] = {}
        server = await stage.serve(routes(filled))
        port = str(server.port).encode()
        filled |= {path: reply.replace(b"{port}", port) for path, reply in table.items()}
        return server.url("/a")

    return setup


def leads(location: str, status: int = 302) -> Setup:
    """Return a server that redirects /a, and answers at /end."""
    return paths({"/a": redirects(location, status), "/end": answer()})


def leads_to(
    behaviour: Behaviour,
    *,
    tls: Context | None = None,
    first_tls: Context | None = None,
    host: str = "127.0.0.1",
    status: int = 302,
) -> Setup:
    """Return a server that redirects to another one."""

    async def setup(stage: Stage) -> str:
        context = tls(stage.authority) if tls else None
        second = await stage.serve(behaviour, tls=context, host=host)
        context = first_tls(stage.authority) if first_tls else None
        location = redirects(second.url("/end", host=host), status)
        return (await stage.serve(replies(location), tls=context)).url("/a")

    return setup


async def leads_to_a_closed_port(stage: Stage) -> str:
    held = stage.hold(socket.socket())
    held.bind(("127.0.0.1", 0))
    location = f"http://127.0.0.1:{held.getsockname()[1]}/"
    return (await stage.serve(replies(redirects(location)))).url("/a")


def asks(status: int, wanted: Callable[[bytes, bytes], bool]) -> Behaviour:
    """Redirect /a to /end, and answer there 200 if the request is as wanted, else 418."""

    async def behave(visit: Visit) -> None:
        head = await visit.read_request()
        lines = head.lower().split(b"\r\n")
        size = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        body = await visit.reader.readexactly(size)
        if head.split(b" ")[1] == b"/a":
            await visit.send(redirects("/end", status))
        else:
            await visit.send(answer(200 if wanted(head, body) else 418))

    return behave


def keeps(head: bytes, body: bytes) -> bool:
    return head.startswith(b"POST ") and body == BODY and b"json" in head.lower()


def becomes_get(head: bytes, body: bytes) -> bool:
    # What belonged to the body goes with it (RFC 9110, 15.4).
    return head.startswith(b"GET ") and not body and b"json" not in head.lower()


def keeps_secrets(head: bytes, body: bytes) -> bool:
    return head.count(b"hunter2") == 3


async def tells_no_secret(visit: Visit) -> None:
    head = await visit.read_request()
    await visit.send(answer(418 if b"hunter2" in head else 200))


def expired(authority: Authority) -> Any:
    return authority.context(authority.leaf(days=(-9, -1)))


def stranger(authority: Authority) -> Any:
    return authority.context(issue("127.0.0.1", names=["127.0.0.1"]))


POST: Final = {
    "method": "POST",
    "body": BODY,
    "headers": (("Content-Type", "application/json"),),
}
ONE: Final = {"status_code": 200, "redirects": 1, "bytes": 2}
NO_LOCATION: Final = answer(302, b"moved")

CASES = (
    case("to a path", leads("/end"), UP, holds=ONE),
    case("to a relative path", leads("end"), UP, holds=ONE),
    case("to a path with dots", leads("./x/../end"), UP, holds=ONE),
    case("to another scheme's default", leads("//127.0.0.1:{port}/end"), UP, holds=ONE),
    case("to a whole address", leads("http://127.0.0.1:{port}/end"), UP, holds=ONE),
    case("to a fragment", leads("/end#part"), UP, holds=ONE),
    case("to a host with a dot at its end", leads("http://localhost.:{port}/end"), UP, holds=ONE),
    case("to a query of the same path", paths({"/a": redirects("?b"), "/a?b": answer()}), UP,
         holds=ONE),
    case("to an address of 8 kB", paths({"/a": redirects("/" + "e" * 8000),
                                         "/" + "e" * 8000: answer()}), UP, holds=ONE),
    case("to an address of 100 kB", leads("/" + "e" * 100_000), NOT_HTTP),
    *(
        case(f"by {status}", leads("/end", status), UP, holds=ONE)
        for status in (301, 302, 303, 307, 308)
    ),
    case("by 300", leads("/end", 300), STATUS, holds={"status_code": 300, "redirects": 0}),
    case("by 304", leads("/end", 304), STATUS, holds={"status_code": 304, "redirects": 0}),
    case("by 302 without Location", paths({"/a": NO_LOCATION}), STATUS,
         holds={"status_code": 302, "redirects": 0}),
    case("not followed", leads("/end"), STATUS, options={"follow_redirects": False},
         holds={"status_code": 302, "redirects": 0}),
    case("not followed, and expected", leads("ftp://x/"), UP,
         options={"follow_redirects": False, "expected_status": ((302, 302),)}),
    case("to itself", leads("/a"), LOOP, detail="^redirected back to http://127"),
    # An empty reference is to the same document (RFC 3986, 4.4).
    case("to nothing", leads(""), LOOP, detail="^redirected back to http://127"),
    case("in a circle of three", paths({"/a": redirects("/b"), "/b": redirects("/c"),
                                        "/c": redirects("/a")}), LOOP, detail="redirected back"),
    case("ten times", paths({"/a": redirects("/1"), "/10": answer()} |
                            {f"/{n}": redirects(f"/{n + 1}") for n in range(1, 10)}), UP,
         holds={"redirects": 10}),
    case("eleven times", paths({"/a": redirects("/1"), "/11": answer()} |
                               {f"/{n}": redirects(f"/{n + 1}") for n in range(1, 11)}), LOOP,
         detail="more than 10 redirects"),
    *(
        case(name, leads(location), INVALID, detail="^status 302 leads to ",
             holds={"status_code": 302})
        for name, location in (
            ("to another scheme", "ftp://127.0.0.1/end"),
            ("to a script", "javascript:alert(1)"),
            ("to a file", "file:///etc/hosts"),
            ("to a port of five nines", "http://127.0.0.1:99999/"),
            ("to port 0", "http://127.0.0.1:0/"),
            ("to a port in letters", "http://127.0.0.1:http/"),
            ("to no host", "http:///end"),
            ("to half an IPv6 address", "http://[::1/"),
        )
    ),
    case("to an address with a secret that is none", leads("ftp://u:hunter2@h/?k=hunter2"),
         INVALID, detail="^(?!.*hunter2)"),
    case("by 307 keeps method and body", serves(asks(307, keeps), path="/a"), UP, options=POST,
         holds=ONE),
    case("by 308 keeps method and body", serves(asks(308, keeps), path="/a"), UP, options=POST,
         holds=ONE),
    case("by 303 becomes GET without a body", serves(asks(303, becomes_get), path="/a"), UP,
         options=POST, holds=ONE),
    case("by 301 of a POST becomes GET", serves(asks(301, becomes_get), path="/a"), UP,
         options=POST, holds=ONE),
    case("within the origin keeps headers", serves(asks(302, keeps_secrets), path="/a"), UP,
         options={"headers": SECRETS}, holds=ONE),
    case("to another port drops headers", leads_to(tells_no_secret), UP,
         options={"headers": SECRETS}, holds=ONE),
    case("to another scheme drops headers",
         leads_to(tells_no_secret, tls=Authority.context), UP, options={"headers": SECRETS},
         holds=ONE),
    case("into TLS", leads_to(replies(answer()), tls=Authority.context), UP, holds=ONE,
         reached=frozenset({"connect", "tls", "wait", "download"})),
    case("out of TLS", leads_to(replies(answer()), first_tls=Authority.context), UP, holds=ONE),
    case("to an expired certificate", leads_to(replies(answer()), tls=expired),
         (State.DOWN, Reason.TLS_EXPIRED), detail="expired", holds={"status_code": None}),
    case("to a stranger's certificate", leads_to(replies(answer()), tls=stranger),
         (State.DOWN, Reason.TLS_UNTRUSTED), detail="certificate"),
    case("to a port that refuses", leads_to_a_closed_port, (State.DOWN, Reason.CONNECT_REFUSED),
         detail="^connection refused by", holds={"status_code": None, "redirects": 1}),
    case("to a server that resets", leads_to(resets_after()), CLOSED),
    case("to a server that says nothing", leads_to(says_nothing), TIMEOUT, seconds=SHORT,
         holds={"status_code": None, "redirects": 1}),
    case("with a body that does not end", serves(stays_silent_after(
        b"HTTP/1.1 302 Found\r\nLocation: /end\r\n\r\nmoved"), path="/a"), TIMEOUT, seconds=SHORT,
         holds={"status_code": 302, "redirects": 0}),
    case("to a forbidden address", leads_to(replies(answer()), host="127.0.0.2"), FORBIDDEN,
         options=ONLY_THE_FIRST, detail="SENTINEL_ALLOWED_TARGETS", holds={"redirects": 1}),
    case("to a forbidden address in IPv6 clothes", leads("http://[::ffff:127.0.0.2]:9/"),
         FORBIDDEN, options=ONLY_THE_FIRST, detail="SENTINEL_ALLOWED_TARGETS"),
    case("to a forbidden address in TLS", leads("https://127.0.0.3:9/"), FORBIDDEN,
         options=ONLY_THE_FIRST, detail="SENTINEL_ALLOWED_TARGETS"),
)  # fmt: skip
