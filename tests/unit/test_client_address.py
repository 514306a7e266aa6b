"""Whose a request is, behind proxies that are trusted and those that are not."""

import ipaddress
from typing import Any

import pytest
from django.test import RequestFactory, override_settings

from sentinel.client_address import network_of
from sentinel.environment import read_environment

PROXIES = tuple(ipaddress.ip_network(each) for each in ("10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "passed", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # nobody trusts it
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the left is the client's word
        ("10.0.0.1", "198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "10.1.1.1", "10.1.1.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("fd00::1", "[2001:db8:1:2:3::4]:443", "2001:db8:1:2::/64"),
        ("2001:db8::1", None, "2001:db8::/64"),
        ("", None, "unknown"),
    ],
)
def test_the_right_most_address_that_is_no_trusted_proxy_counts(
    peer: str, passed: str | None, client: str
) -> None:
    extra: dict[str, Any] = {"REMOTE_ADDR": peer}
    if passed is not None:
        extra["HTTP_X_FORWARDED_FOR"] = passed
    with override_settings(SENTINEL_TRUSTED_PROXIES=PROXIES):
        assert network_of(RequestFactory().get("/", **extra)) == client


def test_nobody_is_trusted_by_default() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.9")
    assert network_of(request) == "127.0.0.1"


def test_the_setting_takes_networks_and_refuses_what_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SENTINEL_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")
    assert read_environment().SENTINEL_TRUSTED_PROXIES == PROXIES
    for wrong in ("10.0.0.1/8", "proxy.example"):
        monkeypatch.setenv("SENTINEL_TRUSTED_PROXIES", wrong)
        with pytest.raises(SystemExit, match="give CIDRs"):
            read_environment()
