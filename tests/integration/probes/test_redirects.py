"""Redirects are followed by us, hop by hop, and judged hop by hop."""

from itertools import pairwise

import pytest

from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.states import Reason, State
from monitoring.probes.trace import MAX_SHOWN_CHARS
from tests.integration.probes.checking import UP, check, down, ending
from tests.integration.probes.conftest import Serve
from tests.integration.probes.nameserver import NameServer
from tests.integration.probes.serving import (
    answer,
    redirects,
    replies,
    routes,
    stays_silent_after,
)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://127.0.0.1:{port}/end", id="absolute"),
        pytest.param("/end", id="a path"),
        pytest.param("end", id="relative"),
        pytest.param("./x/../end", id="with dots"),
        pytest.param("//127.0.0.1:{port}/end", id="of the same scheme"),
        pytest.param("HTTP://127.0.0.1:{port}/end", id="in capitals"),
        pytest.param("/end#part", id="with a fragment"),
        pytest.param("http://user:pass@127.0.0.1:{port}/end", id="with user info"),
    ],
)
def test_a_redirect_is_followed_to_its_end(serve: Serve, location: str) -> None:
    table = {"/end": answer()}
    server = serve(routes(table))
    table["/"] = redirects(location.format(port=server.port))

    outcome = check(server.url())

    assert ending(outcome) == UP
    assert (outcome.status_code, outcome.redirects, outcome.bytes) == (200, 1, 2)
    assert server.requests[1].startswith(b"GET /end HTTP/1.1\r\n")
    assert b"authorization" not in server.requests[1].lower()


def test_a_redirect_to_a_query_replaces_the_query(serve: Serve) -> None:
    server = serve(routes({"/a?b": redirects("?c"), "/a?c": answer()}))

    assert ending(check(server.url("/a?b"))) == UP


def test_a_redirect_is_an_answer_like_any_other_where_it_is_not_followed(
    serve: Serve,
) -> None:
    server = serve(routes({"/": redirects("/end")}))

    refused = check(server.url(), follow_redirects=False)
    accepted = check(server.url(), follow_redirects=False, expected_status=((302, 302),))

    assert (ending(refused), refused.status_code) == (down(Reason.STATUS), 302)
    assert ending(accepted) == UP
    assert (refused.redirects, accepted.redirects) == (0, 0)


def test_of_an_endless_address_the_beginning_is_kept(serve: Serve) -> None:
    path = "/" + "x" * 60_000
    table = {path: answer()}
    server = serve(routes(table))
    table["/"] = redirects(path)

    outcome = check(server.url())

    assert ending(outcome) == UP
    told = outcome.hops[1].url
    assert told == server.url(path)[: MAX_SHOWN_CHARS - 1] + "…"


@pytest.mark.parametrize("status", [300, 304, 305])
def test_a_status_that_does_not_redirect_is_not_followed(serve: Serve, status: int) -> None:
    head = f"HTTP/1.1 {status} No\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n"

    outcome = check(serve(replies(head.encode())).url())

    assert (ending(outcome), outcome.status_code) == (down(Reason.STATUS), status)


def test_a_redirect_that_leads_nowhere_is_judged_by_its_status(
    serve: Serve,
) -> None:
    outcome = check(serve(replies(answer(302))).url())

    assert ending(outcome) == down(Reason.STATUS)
    assert outcome.detail == "status 302, expected 200-299"


@pytest.mark.parametrize(
    ("circle", "connections"),
    [
        pytest.param(["/a", "/b", "/a?"], 2, id="back to the start"),
        pytest.param(["/a", "/b", "/c", "/b#part"], 3, id="back to a later address"),
        pytest.param(["/a", "/a"], 1, id="to itself"),
        pytest.param(["/a", ""], 1, id="to itself without a word"),
        pytest.param(["/a", "//me:pass@127.0.0.1:{port}/a"], 1, id="to itself with user info"),
    ],
)
def test_a_circle_of_redirects_is_noticed_when_it_closes(
    serve: Serve, circle: list[str], connections: int
) -> None:
    table: dict[str, bytes] = {}
    server = serve(routes(table))
    for path, location in pairwise(circle):
        table[path] = redirects(location.format(port=server.port))

    outcome = check(server.url("/a"))

    assert ending(outcome) == down(Reason.REDIRECT_LOOP)
    assert outcome.detail.startswith("redirected back to http://127.0.0.1:")
    assert server.connections == connections


@pytest.mark.parametrize(("allowed", "expected"), [(3, UP), (2, down(Reason.REDIRECT_LOOP))])
def test_redirects_are_followed_up_to_the_limit(
    serve: Serve, allowed: int, expected: tuple[State, Reason | None]
) -> None:
    table = {f"/{n}": redirects(f"/{n + 1}") for n in range(3)} | {"/3": answer()}
    server = serve(routes(table))

    outcome = check(server.url("/0"), max_redirects=allowed)

    assert ending(outcome) == expected
    assert outcome.redirects == allowed
    assert server.connections == allowed + 1


@pytest.mark.parametrize(
    "location",
    [
        "ftp://files.example/a",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http:path",
        "http://0177.0.0.1/",
        "https:///",
        "http://[::1/",
        "http://[nonsense]/",
        "http://example.example:99999/",
        "http://example.example:0/",
        "http://example.example:port/",
        "http://\u00ff\u00fe.example/\u2028".encode().decode("latin-1"),
    ],
)
def test_a_redirect_to_what_is_no_web_address_is_invalid(
    serve: Serve, names: NameServer, location: str
) -> None:
    server = serve(replies(redirects(location)))

    outcome = check(server.url())

    assert ending(outcome) == down(Reason.REDIRECT_INVALID)
    assert outcome.detail.startswith("status 302 leads to ")
    assert server.connections == 1
    assert names.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "ftp://user:hunter2@files.example/a?token=hunter2",
        "ftp:hunter2.example?token=hunter2",
        "http://host.example:99999/?hunter2",
        "/again?token=hunter2",
    ],
)
def test_the_secrets_of_an_address_are_not_in_the_detail(serve: Serve, location: str) -> None:
    server = serve(routes({"/": redirects(location), "/again?token=hunter2": redirects(location)}))

    outcome = check(server.url())

    assert outcome.state is State.DOWN
    assert "token" not in outcome.detail
    assert "hunter2" not in outcome.detail.replace("hunter2.example", "")


@pytest.mark.parametrize(
    ("method", "status", "after"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 302, "PUT"),
        ("PUT", 303, "GET"),
        ("DELETE", 303, "GET"),
        ("HEAD", 301, "HEAD"),
        ("HEAD", 303, "HEAD"),
        ("GET", 307, "GET"),
    ],
)
def test_the_method_after_a_redirect_is_what_a_browser_would_send(
    serve: Serve, method: str, status: int, after: str
) -> None:
    moved = f"HTTP/1.1 {status} Moved\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n".encode()
    server = serve(routes({"/": moved, "/end": b"HTTP/1.1 204 Done\r\n\r\n"}))

    assert ending(check(server.url(), method=method)) == UP
    assert [request.split(b" ")[0].decode() for request in server.requests] == [method, after]


def test_the_deadline_is_one_for_all_hops(serve: Serve) -> None:
    slow = serve(stays_silent_after())
    first = serve(replies(redirects(slow.url())))

    outcome = check(first.url(), seconds=1)

    assert ending(outcome) == down(Reason.TIMEOUT)
    assert (outcome.redirects, outcome.status_code) == (1, None)
    assert outcome.total_us < 5_000_000


def test_a_redirect_to_a_forbidden_address_is_refused_without_a_connection(
    serve: Serve,
) -> None:
    inside = serve(replies(answer()))
    outside = serve(replies(redirects(inside.url())))
    guard = Guard(parse_allowed_targets(f"127.0.0.0/8:{outside.port}"))

    outcome = check(outside.url(), guard=guard)

    assert ending(outcome) == (State.INTERNAL, Reason.FORBIDDEN_ADDRESS)
    assert "SENTINEL_ALLOWED_TARGETS" in outcome.detail
    assert (outside.connections, inside.connections) == (1, 0)


@pytest.mark.parametrize(
    "spelling",
    ["127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "localhost"],
)
def test_an_odd_spelling_of_a_forbidden_address_is_refused_too(
    serve: Serve, names: NameServer, spelling: str
) -> None:
    # A resolver reads the numbers so; ours is told to.
    for number in ("127.1", "0x7f000001", "2130706433"):
        names.known[number] = ["127.0.0.1"]
    inside = serve(replies(answer()))
    outside = serve(replies(redirects(inside.url(host=spelling))))
    guard = Guard(parse_allowed_targets(f"127.0.0.0/8:{outside.port}"))

    outcome = check(outside.url(), guard=guard)

    assert ending(outcome) == (State.INTERNAL, Reason.FORBIDDEN_ADDRESS)
    assert inside.connections == 0


SECRETS = (("Authorization", "Bearer hunter2"), ("X-Key", "hunter2"), ("Cookie", "own=hunter2"))


def with_cookie(location: str, cookie: bytes = b"session=hunter2; Path=/") -> bytes:
    """Return a redirect that sets a cookie."""
    head, body = redirects(location).split(b"\r\n\r\n", 1)
    return head + b"\r\nSet-Cookie: " + cookie + b"\r\n\r\n" + body


def test_what_was_meant_for_one_origin_stays_there(serve: Serve) -> None:
    other = serve(replies(answer()))
    server = serve(replies(with_cookie(other.url())))

    outcome = check(server.url(), headers=SECRETS)

    assert ending(outcome) == UP
    assert server.requests[0].count(b"hunter2") == 3
    assert b"hunter2" not in other.requests[0]
    assert b"cookie" not in other.requests[0].lower()


def test_within_an_origin_headers_and_cookies_go_along(serve: Serve) -> None:
    server = serve(routes({"/": with_cookie("/next"), "/next": answer()}))

    assert ending(check(server.url(), headers=SECRETS[:2])) == UP
    assert b"X-Key: hunter2" in server.requests[1]
    assert b"session=hunter2" in server.requests[1]


def test_a_cookie_that_no_header_can_hold_is_not_sent_and_no_fault_of_ours(serve: Serve) -> None:
    cookie = "city=K\u00f6ln".encode()
    server = serve(routes({"/": with_cookie("/next", cookie), "/next": answer()}))

    assert ending(check(server.url())) == UP
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_is_not_carried_to_another_origin(serve: Serve, status: int) -> None:
    other = serve(replies(answer()))
    server = serve(replies(redirects(other.url(), status)))

    outcome = check(server.url(), method="POST", body=b"hunter2")

    assert ending(outcome) == down(Reason.REDIRECT_INVALID)
    assert "another origin" in outcome.detail
    assert other.connections == 0
