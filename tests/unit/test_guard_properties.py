"""The address guard: what holds of every address, every list and every text."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from hypothesis import assume, example, given
from hypothesis import strategies as st

from monitoring.probes.guard import MAX_KNOWN, AllowedTarget, ForbiddenAddress, Guard, OwnAddress
from tests.unit.test_guard import EVERYTHING, PUBLIC_ONLY, ipv6_forms, passes

PORTS: Final = st.sampled_from([80, 443, 8000])
# Few networks, so that the lists and the addresses meet.
NETWORKS: Final = st.sampled_from(
    [
        ip_network(cidr)
        for cidr in (
            *("0.0.0.0/0", "10.0.0.0/8", "10.0.0.5", "127.0.0.1", "169.254.169.254", "8.8.8.8"),
            *("::/0", "fc00::/7", "fd00::5", "fd00:ec2::254", "64:ff9b::/96", "::ffff:10.0.0.5"),
            *("2002::/16", "2606:4700::1"),
        )
    ]
)
MAYBE_PORTS: Final = st.one_of(st.none(), PORTS)
ALLOWED: Final = st.lists(st.builds(AllowedTarget, NETWORKS, MAYBE_PORTS), max_size=4).map(tuple)
OWN: Final = st.lists(
    st.builds(OwnAddress, st.one_of(st.none(), NETWORKS), MAYBE_PORTS, st.just("ours")), max_size=3
).map(tuple)
GUARDS: Final = st.builds(
    Guard, ALLOWED, OWN, st.sampled_from([lambda _: True, lambda _: False, lambda a: "5" in a])
)
IPV4: Final = st.one_of(
    st.ip_addresses(v=4), NETWORKS.filter(lambda each: each.version == 4).map(lambda each: each[-1])
)
ANY_ADDRESS: Final = st.one_of(st.ip_addresses(), NETWORKS.map(lambda each: each[-1]))
BITS: Final = st.integers(0, 2**128 - 1)


@st.composite
def embeddings(draw: st.DrawFn) -> tuple[str, str]:
    """Draw an IPv4 address, and an IPv6 address that stands for it, whatever is around it."""
    inner = int(draw(IPV4))
    noise = draw(BITS)
    number = draw(
        st.sampled_from(
            [
                inner | 0xFFFF << 32,  # mapped
                inner | 0xFFFF << 48,  # translated
                inner | 0x64FF9B << 96,  # NAT64
                inner | 0x64FF9B0001 << 80 | (noise & 0xFFFF_FFFF_FFFF) << 32,  # NAT64, local
                inner,  # compatible
                0x2002 << 112 | inner << 80 | noise & (1 << 80) - 1,  # 6to4
                0x2001 << 112 | (noise & (1 << 64) - 1) << 32 | inner ^ 0xFFFF_FFFF,  # Teredo
                noise >> 64 << 64 | 0x5EFE << 32 | inner,  # ISATAP
                noise >> 64 << 64 | 0x200_5EFE << 32 | inner,  # ISATAP, universal
            ]
        )
    )
    return str(IPv4Address(inner)), str(IPv6Address(number))


def refusal(guard: Guard, text: str, port: int) -> str | None:
    """Return the words with which an address is refused, or None; nothing else is raised."""
    try:
        guard.judge(text, port)
    except ForbiddenAddress as words:
        return str(words)
    return None


@given(embeddings(), ALLOWED, OWN, PORTS)
def test_an_ipv6_address_passes_only_where_the_ipv4_address_inside_it_does(
    pair: tuple[str, str],
    allowed: tuple[AllowedTarget, ...],
    own: tuple[OwnAddress, ...],
    port: int,
) -> None:
    inner, outer = pair
    # ::1 is no compatible address, though it has the form of one.
    assume(outer != "::1")
    guard = Guard(allowed, own, lambda _: False)

    if passes(guard, outer, port):
        assert passes(guard, inner, port)


@given(ANY_ADDRESS, GUARDS, PORTS)
def test_an_address_is_judged_alike_in_every_text_form(
    address: IPv4Address | IPv6Address, guard: Guard, port: int
) -> None:
    forms = {str(address), address.exploded, address.exploded.upper()}
    if isinstance(address, IPv6Address):
        head = address.exploded[:30]
        tail = IPv4Address(int(address) & 0xFFFF_FFFF)
        forms |= {f"{head}{tail}", str(address).upper()}
        forms.add(":".join(f"{int(group, 16):x}" for group in address.exploded.split(":")))

    assert len({refusal(guard, form, port) for form in forms}) == 1


@given(ANY_ADDRESS, ALLOWED, ALLOWED, PORTS)
def test_allowing_more_refuses_nothing_more(
    address: IPv4Address | IPv6Address,
    some: tuple[AllowedTarget, ...],
    more: tuple[AllowedTarget, ...],
    port: int,
) -> None:
    if passes(Guard(some), str(address), port):
        assert passes(Guard((*some, *more)), str(address), port)


@given(ANY_ADDRESS, ALLOWED, OWN, PORTS)
def test_what_is_ours_is_refused_unless_its_one_address_and_port_are_named(
    address: IPv4Address | IPv6Address,
    allowed: tuple[AllowedTarget, ...],
    own: tuple[OwnAddress, ...],
    port: int,
) -> None:
    guard = Guard(allowed, own)
    ours = any(
        each.port in (None, port) and (each.network is None or address in each.network)
        for each in own
    )

    if ours and AllowedTarget(ip_network(address), port) not in allowed:
        assert not passes(guard, str(address), port)
    if not passes(Guard(allowed), str(address), port):
        assert not passes(guard, str(address), port)


@given(ANY_ADDRESS, GUARDS, PORTS)
def test_a_judgement_is_the_same_when_it_is_remembered(
    address: IPv4Address | IPv6Address, guard: Guard, port: int
) -> None:
    text = str(address)

    assert refusal(guard, text, port) == refusal(guard, text, port)
    assert refusal(guard, text, port) == refusal(replace(guard), text, port)


def test_a_guard_remembers_so_much_and_no_more() -> None:
    guard = Guard()
    for number in range(MAX_KNOWN + 100):
        guard.judge(str(IPv4Address(0x08000000 + number)), 443)

    assert guard._known.cache_info().currsize == MAX_KNOWN  # type: ignore[attr-defined]


TEXTS: Final = st.one_of(
    st.text(max_size=80),
    st.text("0123456789abcdefx:.%[]/\u0661\uff11 ", max_size=50),
    ANY_ADDRESS.map(str),
    st.tuples(ANY_ADDRESS.map(str), st.text(max_size=3)).map("".join),
)


@given(TEXTS, st.integers(), GUARDS)
@example("8.8.8.8\x00", 443, EVERYTHING)
@example("\ud800", 443, EVERYTHING)
@example("8" * 100_000, 443, EVERYTHING)
@example("::" + "%" * 100_000, 443, EVERYTHING)
def test_any_text_passes_as_an_address_or_is_refused_in_few_words(
    text: str, port: int, guard: Guard
) -> None:
    words = refusal(guard, text, port)

    if words is None:
        assert str(ip_address(text))
    else:
        assert len(words) < 300


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_address_that_passes_by_default_is_public(
    address: IPv4Address | IPv6Address, port: int
) -> None:
    if passes(PUBLIC_ONLY, str(address), port):
        assert not address.is_private
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_spelling(address: IPv4Address) -> None:
    verdict = passes(PUBLIC_ONLY, str(address))
    for form in ipv6_forms(str(address)):
        # The compatible form of 0.0.0.0 and 0.0.0.1 is :: and ::1: refused as well.
        assert passes(PUBLIC_ONLY, form) is verdict, form
