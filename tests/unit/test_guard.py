"""The address guard: what may be dialled, in every spelling of an address."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest

from monitoring.probes.guard import ForbiddenAddress, Guard, parse_allowed_targets

PUBLIC_ONLY = Guard()
EVERYTHING = Guard(parse_allowed_targets("0.0.0.0/0, ::/0"))

NEVER = (
    "0.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "400::/6",
    "800::/5",
    "1000::/4",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "4000::/2",
    "8000::/2",
    "c000::/3",
    "e000::/4",
    "f000::/5",
    "f800::/6",
    "fe00::/9",
    "fec0::/10",
    "ff00::/8",
)
EXACT_ONLY = (
    "169.254.0.0/16",
    "fe80::/10",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:42::42/128",
    "fd00:100::100:200/128",
    "fd00:a9fe:a9fe::1/128",
    "fd00:c1::a9fe:a9fe/128",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
)
NAMED = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
)
# The addresses beside the ranges that are public, one a boundary.
PUBLIC = (
    *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0"),
    *("172.15.255.255", "172.32.0.0", "168.63.129.15", "168.63.129.17"),
    *("191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0"),
    *("192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0"),
    *("198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0"),
    *("203.0.112.255", "203.0.114.0", "223.255.255.255", "8.8.8.8", "93.184.216.34"),
    *("2000::", "2001:200::", "2001:db7:ffff::", "2001:db9::", "2606:4700::6810:84e5"),
    *("2001:ffff::", "2003::", "3ffe:ffff::", "3fff:1000::", "3fff:ffff::", "2a00:1450::200e"),
)


def passes(guard: Guard, text: str, port: int = 443) -> bool:
    """Return whether the guard lets an address pass."""
    try:
        guard.judge(text, port)
    except ForbiddenAddress:
        return False
    return True


def edges(cidr: str) -> list[str]:
    """Return the first, the second, a middle and the last address of a range."""
    network = ip_network(cidr)
    size = network.num_addresses
    return [str(network[index]) for index in sorted({0, min(1, size - 1), size // 2, size - 1})]


def ipv6_forms(text: str) -> list[str]:
    """Return the IPv6 addresses that stand for an IPv4 address."""
    number = int(IPv4Address(text))
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    return [
        f"::ffff:{text}",
        f"::ffff:{high}:{low}",
        f"::FFFF:{text}",
        f"0:0:0:0:0:ffff:{high}:{low}",
        f"::ffff:0:{high}:{low}",
        f"64:ff9b::{text}",
        f"64:ff9b::{high}:{low}",
        f"2002:{high}:{low}::",
        f"2002:{high}:{low}::1",
        f"2002:{high}:{low}:ffff:ffff:ffff:ffff:ffff",
        f"::{high}:{low}",
        f"2606:4700::5efe:{text}",
        f"2606:4700::200:5efe:{high}:{low}",
        f"2002:808:808::5efe:{high}:{low}",
    ]


def beside(cidr: str) -> list[str]:
    """Return the neighbours of a range, where there are any."""
    network = ip_network(cidr)
    kind = IPv4Address if isinstance(network, IPv4Network) else IPv6Address
    around = int(network.network_address) - 1, int(network.broadcast_address) + 1
    return [str(kind(number)) for number in around if 0 <= number < 2**network.max_prefixlen]


FORBIDDEN_RANGES = (*NEVER, *EXACT_ONLY, *NAMED)
FORBIDDEN = sorted({text for cidr in FORBIDDEN_RANGES for text in edges(cidr)})
INSIDE = sorted({form for text in FORBIDDEN if ":" not in text for form in ipv6_forms(text)})


def test_the_corpus_is_worth_its_name() -> None:
    assert len({*FORBIDDEN, *INSIDE, *PUBLIC}) > 800


@pytest.mark.parametrize("text", FORBIDDEN)
def test_nothing_but_public_addresses_is_dialled_by_default(text: str) -> None:
    assert not passes(PUBLIC_ONLY, text)


@pytest.mark.parametrize("text", INSIDE)
def test_an_ipv4_address_hides_in_no_ipv6_address(text: str) -> None:
    assert not passes(PUBLIC_ONLY, text)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_dialled(text: str) -> None:
    assert passes(PUBLIC_ONLY, text)


@pytest.mark.parametrize("text", ["8.8.8.8", "223.255.255.255"])
def test_a_public_address_inside_an_ipv6_address_is_public(text: str) -> None:
    for form in ipv6_forms(text):
        assert passes(PUBLIC_ONLY, form), form


@pytest.mark.parametrize("cidr", FORBIDDEN_RANGES)
def test_every_range_ends_where_the_registry_says(cidr: str) -> None:
    ranges = [ip_network(each) for each in FORBIDDEN_RANGES]
    for text in beside(cidr):
        address = ip_address(text)
        listed = any(
            address.version == network.version and address in network for network in ranges
        )
        assigned = address.version == 4 or address in ip_network("2000::/3")
        assert passes(PUBLIC_ONLY, text) is (assigned and not listed), text


@pytest.mark.parametrize("cidr", NEVER)
def test_what_is_never_dialled_is_not_for_any_setting(cidr: str) -> None:
    for text in edges(cidr):
        exact = Guard(parse_allowed_targets(f"{text},{cidr}"))
        assert not passes(EVERYTHING, text), text
        assert not passes(exact, text), text


@pytest.mark.parametrize("cidr", NAMED)
def test_private_ranges_are_dialled_where_they_are_named(cidr: str) -> None:
    for text in edges(cidr):
        if any(ip_address(text) == ip_network(exact)[0] for exact in EXACT_ONLY):
            continue
        assert passes(Guard(parse_allowed_targets(cidr)), text), text
        assert passes(Guard(parse_allowed_targets(text)), text), text
        assert passes(EVERYTHING, text), text


@pytest.mark.parametrize("cidr", EXACT_ONLY)
def test_metadata_and_link_local_addresses_must_be_named_exactly(cidr: str) -> None:
    for text in edges(cidr):
        network = ip_network(text)
        wider = f"{network.supernet(1)}"
        assert not passes(EVERYTHING, text), text
        assert not passes(Guard(parse_allowed_targets(wider)), text), text
        assert passes(Guard(parse_allowed_targets(text)), text), text
        if ":" not in text:
            for form in ipv6_forms(text):
                assert passes(Guard(parse_allowed_targets(text)), form), form


def test_a_port_in_the_list_allows_that_port_only() -> None:
    guard = Guard(parse_allowed_targets("10.0.0.0/8:443,169.254.169.254:80,fd00::/8:8443"))

    assert passes(guard, "10.1.2.3", 443)
    assert passes(guard, "::ffff:10.1.2.3", 443)
    assert passes(guard, "169.254.169.254", 80)
    assert passes(guard, "fd00::1", 8443)
    assert not passes(guard, "10.1.2.3", 80)
    assert not passes(guard, "::ffff:10.1.2.3", 80)
    assert not passes(guard, "169.254.169.254", 443)
    assert not passes(guard, "fd00::1", 443)


def test_an_ipv6_entry_does_not_open_an_ipv4_address() -> None:
    guard = Guard(parse_allowed_targets("::/0,::ffff:0:0/96,::ffff:10.0.0.1"))

    assert not passes(guard, "10.0.0.1")
    assert not passes(guard, "::ffff:10.0.0.1")


@pytest.mark.parametrize("order", [1, -1])
def test_one_forbidden_answer_refuses_the_name(order: int) -> None:
    PUBLIC_ONLY.judge_all(["8.8.8.8", "2606:4700::1"], 443)

    with pytest.raises(ForbiddenAddress, match=r"10\.0\.0\.1"):
        PUBLIC_ONLY.judge_all(["8.8.8.8", "10.0.0.1", "2606:4700::1"][::order], 443)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "2606:4700::1%1", "::1%lo", "fe80::1%"])
def test_a_zone_is_never_dialled(text: str) -> None:
    guard = Guard(parse_allowed_targets("fe80::1,::1,::/0"))

    with pytest.raises(ForbiddenAddress):
        guard.judge(text, 443)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "010.0.0.1",
        "8.8.8.8 ",
        "8.8.8",
        "[::1]",
    ],
)
def test_what_is_no_address_is_not_dialled(text: str) -> None:
    with pytest.raises(ForbiddenAddress, match="is not an IP address"):
        EVERYTHING.judge(text, 443)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.1", "10.0.0.1 port 443 is a private address: SENTINEL_ALLOWED_TARGETS must name"),
        ("169.254.169.254", "SENTINEL_ALLOWED_TARGETS must name that exact address"),
        ("224.0.0.1", "224.0.0.1 is a multicast address, which is never dialled"),
        ("2001::1", "2001::1 is a Teredo address, which is never dialled"),
        ("64:ff9b::a00:1", "64:ff9b::a00:1 (IPv4 10.0.0.1 inside IPv6) port 443 is a private"),
        ("4000::1", "is a reserved address"),
        ("255.255.255.255", "255.255.255.255 is the broadcast address"),
        ("2001:10::1", "2001:10::1 is an ORCHID, not an address"),
        ("5f00::1", "5f00::1 is an SRv6 segment, not an address"),
        ("64:ff9b:1::a00:1", "is a NAT64 address of unknown form"),
        ("2606:4700::5efe:a00:1", "2606:4700::5efe:a00:1 (IPv4 10.0.0.1 inside IPv6) port 443"),
        ("fd00:ec2::254", "fd00:ec2::254 is a cloud metadata address"),
    ],
)
def test_a_refusal_says_which_address_why_and_what_would_allow_it(text: str, words: str) -> None:
    with pytest.raises(ForbiddenAddress) as refusal:
        PUBLIC_ONLY.judge(text, 443)

    assert words in str(refusal.value)
