"""The guard of a process: our own services refused, their names looked up beside the probing."""

import errno
import socket
import threading
import time
from collections.abc import Callable

import pytest

from monitoring import own_addresses
from monitoring.own_addresses import REFRESH_SECONDS, RETRY_SECONDS, OwnAddresses, is_local
from monitoring.probes.guard import (
    ForbiddenAddress,
    Guard,
    Listener,
    OwnAddress,
    parse_allowed_targets,
    parse_refused_targets,
)

PRIVATE = parse_allowed_targets("127.0.0.0/8,10.0.0.0/8,::1,fd00::/8")
DATABASE = Listener("db", 5432, "Sentinel's own database")
NOBODY = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NOT_NOW = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

Answer = list[str] | OSError


class Names:
    """A resolver that says what it is told to, and a clock that stands still."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.now = 1000.0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def look_up(self, host: str) -> list[str]:
        self.asked.append(host)
        assert self.may_answer.wait(30)
        answer = self.answers[host]
        if isinstance(answer, OSError):
            raise answer
        return answer

    def own(self, *own: OwnAddress | Listener, allowed: str | None = None) -> OwnAddresses:
        return OwnAddresses(
            PRIVATE if allowed is None else parse_allowed_targets(allowed),
            own,
            look_up=self.look_up,
            clock=lambda: self.now,
        )


def refusal(guard: Guard, text: str, port: int) -> str:
    """Return the words with which an address is refused; empty where it passes."""
    try:
        guard.judge(text, port)
    except ForbiddenAddress as error:
        return str(error)
    return ""


def until(look: Callable[[], object]) -> None:
    """Wait for what a thread is about to do."""
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_service_at_an_address_is_refused_at_its_port_alone() -> None:
    names = Names()
    guard = names.own(Listener("127.0.0.1", 8000, "Sentinel's own API")).guard()

    assert refusal(guard, "127.0.0.1", 8000) == (
        "127.0.0.1 port 8000 is Sentinel's own API: "
        "SENTINEL_ALLOWED_TARGETS must name 127.0.0.1/32:8000 to allow it"
    )
    assert refusal(guard, "127.0.0.1", 8080) == ""
    assert refusal(guard, "127.0.0.2", 8000) == ""
    assert names.asked == []


@pytest.mark.parametrize(
    ("allowed", "passes"),
    [
        ("127.0.0.1/32:8000", True),
        ("127.0.0.1:8000", True),
        ("127.0.0.1/32", False),
        ("127.0.0.0/8:8000", False),
        ("127.0.0.0/31:8000", False),
        ("127.0.0.1/32:8001", False),
        ("0.0.0.0/0,::/0", False),
    ],
)
def test_only_the_exact_address_and_port_allow_it(allowed: str, passes: bool) -> None:
    api = Listener("127.0.0.1", 8000, "Sentinel's own API")
    guard = Names().own(api, allowed=allowed).guard()

    assert (refusal(guard, "127.0.0.1", 8000) == "") is passes
    assert (refusal(guard, "::ffff:127.0.0.1", 8000) == "") is passes


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:10.0.0.5",
        "::ffff:0:a00:5",
        "64:ff9b::10.0.0.5",
        "2002:a00:5::1",
        "::10.0.0.5",
        "fd00::5efe:10.0.0.5",
        "2606:4700::200:5efe:a00:5",
    ],
)
def test_a_service_does_not_hide_in_an_ipv6_address(text: str) -> None:
    guard = Names().own(Listener("10.0.0.5", 5432, "Sentinel's own database")).guard()

    assert "Sentinel's own database" in refusal(guard, text, 5432)
    assert refusal(guard, text, 5433) == ""


def test_a_service_that_is_named_by_an_ipv6_form_is_refused_as_ipv4_too() -> None:
    guard = Names().own(Listener("64:ff9b::a00:5", 5432, "Sentinel's own database")).guard()

    assert refusal(guard, "10.0.0.5", 5432)
    assert refusal(guard, "64:ff9b::10.0.0.5", 5432)
    assert not refusal(guard, "10.0.0.6", 5432)


def test_a_public_address_of_ours_is_refused_like_a_private_one() -> None:
    own = parse_refused_targets("8.8.8.8:443, 9.9.9.0/24, 2606:4700::/32:80")
    guard = Names().own(*own, allowed="9.9.9.9/32:53").guard()

    assert refusal(guard, "8.8.8.8", 443) == (
        "8.8.8.8 port 443 is refused by SENTINEL_REFUSED_TARGETS: "
        "SENTINEL_ALLOWED_TARGETS must name 8.8.8.8/32:443 to allow it"
    )
    assert "must name 2606:4700::1/128:80" in refusal(guard, "2606:4700::1", 80)
    assert refusal(guard, "9.9.9.9", 54)
    assert not refusal(guard, "9.9.9.9", 53)
    assert not refusal(guard, "8.8.8.8", 80)


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::", "0:0::0"])
def test_a_service_on_the_wildcard_is_refused_at_every_address_of_this_machine(
    wildcard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(address: str) -> bool:
        asked.append(address)
        return address in ("127.0.0.1", "10.0.0.9", "8.8.4.4")

    monkeypatch.setattr(own_addresses, "is_local", answer)
    api = Listener(wildcard, 8000, "Sentinel's own API")
    guard = Names().own(api, allowed="127.0.0.1:8000,10.0.0.0/8").guard()

    assert "must name 10.0.0.9/32:8000 to allow it" in refusal(guard, "10.0.0.9", 8000)
    assert "Sentinel's own API" in refusal(guard, "8.8.4.4", 8000)
    assert "Sentinel's own API" in refusal(guard, "::ffff:10.0.0.9", 8000)
    assert not refusal(guard, "10.0.0.8", 8000)
    assert not refusal(guard, "127.0.0.1", 8000)
    asked.clear()
    assert not refusal(guard, "8.8.4.4", 8001)
    assert asked == []


def test_without_a_way_to_tell_every_address_may_be_ours() -> None:
    guard = Guard((), (OwnAddress(None, 8000, "Sentinel's own API"),))

    assert refusal(guard, "8.8.8.8", 8000)
    assert not refusal(guard, "8.8.8.8", 8001)


def test_this_machine_knows_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_local("127.0.0.1")
    assert is_local("127.1.2.3")
    assert not is_local("192.0.2.1")
    assert not is_local("2001:db8::1")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", fail)
    assert is_local("192.0.2.1")


def test_a_name_is_refused_at_all_of_its_addresses() -> None:
    guard = Names(db=["10.0.0.5", "fd00::5"]).own(DATABASE).guard()

    assert "Sentinel's own database" in refusal(guard, "10.0.0.5", 5432)
    assert "Sentinel's own database" in refusal(guard, "fd00::5", 5432)
    assert not refusal(guard, "10.0.0.6", 5432)


def test_a_name_that_stands_for_the_wildcard_is_the_wildcard() -> None:
    guard = Names(db=["0.0.0.0"]).own(DATABASE).guard()

    assert refusal(guard, "127.0.0.1", 5432)


def test_a_name_is_looked_up_again_after_a_minute_and_not_before() -> None:
    names = Names(db=["10.0.0.5"])
    own = names.own(DATABASE)
    before = own.guard()
    names.answers["db"] = ["10.0.0.6"]

    names.now += REFRESH_SECONDS - 1
    assert own.guard() is before
    assert names.asked == ["db"]
    names.now += 1
    until(lambda: not refusal(own.guard(), "10.0.0.5", 5432))

    assert refusal(own.guard(), "10.0.0.6", 5432)
    assert names.asked == ["db", "db"]


def test_a_guard_stays_as_long_as_the_addresses_do() -> None:
    names = Names(db=["10.0.0.5"])
    own = names.own(DATABASE)
    before = own.guard()

    names.now += REFRESH_SECONDS
    own.guard()
    until(lambda: len(names.asked) == 2 and own._due == names.now + REFRESH_SECONDS)

    assert own.guard() is before


@pytest.mark.parametrize("error", [NOBODY, NOT_NOW, OSError("no descriptors")])
def test_a_failed_look_up_leaves_the_last_known_addresses(error: OSError) -> None:
    names = Names(db=["10.0.0.5"])
    own = names.own(DATABASE)
    own.guard()

    names.answers["db"] = error
    names.now += REFRESH_SECONDS
    own.guard()
    until(lambda: len(names.asked) == 2 and own._due == names.now + REFRESH_SECONDS)

    assert refusal(own.guard(), "10.0.0.5", 5432)


def test_a_name_that_was_never_told_has_its_port_refused_everywhere() -> None:
    names = Names(db=NOT_NOW)
    own = names.own(DATABASE)

    assert refusal(own.guard(), "10.0.0.5", 5432) == (
        "10.0.0.5 port 5432 is perhaps Sentinel's own database (db has not been looked up "
        "yet): SENTINEL_ALLOWED_TARGETS must name 10.0.0.5/32:5432 to allow it"
    )
    assert not refusal(own.guard(), "10.0.0.5", 5433)

    names.answers["db"] = ["10.0.0.6"]
    names.now += RETRY_SECONDS
    until(lambda: not refusal(own.guard(), "10.0.0.5", 5432))


def test_a_name_that_nobody_has_refuses_nothing_and_is_looked_up_sooner() -> None:
    names = Names(db=NOBODY)
    own = names.own(DATABASE)
    assert not refusal(own.guard(), "10.0.0.5", 5432)

    names.answers["db"] = ["10.0.0.5"]
    names.now += RETRY_SECONDS
    until(lambda: refusal(own.guard(), "10.0.0.5", 5432))


def test_a_dead_resolver_holds_up_the_first_batch_a_little_and_later_ones_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_addresses, "FIRST_SECONDS", 0.2)
    names = Names(db=["10.0.0.5"])
    names.may_answer.clear()
    own = names.own(DATABASE)
    began = time.monotonic()

    assert refusal(own.guard(), "10.0.0.9", 5432)
    assert 0.2 <= time.monotonic() - began < 10
    names.now += 3600
    for _ in range(100):
        own.guard()

    assert names.asked == ["db"]
    names.may_answer.set()
    until(lambda: not refusal(own.guard(), "10.0.0.9", 5432))
