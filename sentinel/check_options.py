"""From the words of ``sentinel check`` to what the probe may know.

The rules are the API's own, so that what was tried here can be registered too. An error names
the option and the cure, and never a header's value, data or a password.
"""

import base64
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from domains import request
from domains.expected_status import parse_expected_status
from domains.weburl import literal_family, normalise_url
from monitoring.probes.assertions import Assertion, read_assertions
from monitoring.probes.guard import AllowedTarget, Guard, parse_allowed_targets
from monitoring.probes.nameservers import parse_nameservers
from monitoring.probes.outcome import IPVersion, Target
from sentinel.environment import Environment

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
MAX_TIMEOUT: Final = 60.0
MAX_REPEAT: Final = 100_000
MAX_INTERVAL: Final = 86_400.0
MIN_SECONDS: Final = 0.001
FORM_TYPE: Final = "application/x-www-form-urlencoded"
"""What ``curl -d`` calls its data."""

# A scheme, and not the port of a bare host:8080.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d)")
_FAMILIES: Final = {"ipv4": ("IPv4", "--ipv6"), "ipv6": ("IPv6", "--ipv4")}


class Refused(ValueError):  # noqa: N818 - bad input, answered as such
    """An option that cannot be used.

    Attributes:
        option: its name, such as ``--header``.
        words: what is wrong with it, and the cure.
    """

    def __init__(self, option: str, words: str) -> None:
        super().__init__(f"{option}: {words}")
        self.option = option
        self.words = words


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says, not validated yet; in seconds what is a time."""

    url: str = field(repr=False)
    method: str | None = None
    headers: tuple[str, ...] = field(default=(), repr=False)
    data: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    expect: str = "200-299"
    follow: bool = True
    insecure: bool = False
    http2: bool = False
    ipv4: bool = False
    ipv6: bool = False
    degraded_after: float | None = None
    assertions: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    repeat: int = 1
    interval: float = 1.0


def target_of(options: Options, environment: Environment) -> Target:
    """Return what is to be checked, and how.

    Args:
        options: of the command line.
        environment: its allowed and refused targets and its name servers are looked at; of
            both the command line may add to the former and replace the latter.

    Raises:
        Refused: one of the options cannot be used.
    """
    url = _url(options.url)
    _within("--timeout", options.timeout, MIN_SECONDS, MAX_TIMEOUT)
    _within("--interval", options.interval, 0.0, MAX_INTERVAL)
    if not 1 <= options.repeat <= MAX_REPEAT:
        raise Refused("--repeat", f"it must be a whole number from 1 to {MAX_REPEAT}")
    body = None if options.data is None else _body(options.data)
    method = _method(options.method, default="GET" if body is None else "POST")
    if body is not None and method in request.BODILESS_METHODS:
        words = f"a {method} request has no body: leave it out, or give --method POST"
        raise Refused("--data", words)
    return Target(
        url=url,
        method=method,
        headers=_headers(options, with_body=body is not None),
        body=body or None,
        expected_status=_expected(options.expect),
        follow_redirects=options.follow,
        verify_tls=not options.insecure,
        http2=options.http2,
        ip_version=_ip_version(options, url),
        assertions=_assertions(options.assertions) if options.assertions else (),
        degraded_after_us=_degraded_after(options),
        nameservers=_nameservers(options.nameservers) or environment.SENTINEL_NAMESERVERS,
        guard=_guard(options.allow, environment),
    )


def _url(text: str) -> str:
    text = text.strip()
    if not _SCHEME.match(text):
        text = f"https://{text}"
    try:
        return normalise_url(text)
    except ValueError as error:
        raise Refused("URL", str(error)) from None


def _within(option: str, seconds: float, low: float, high: float) -> None:
    if not low <= seconds <= high:  # nor is NaN
        raise Refused(option, f"it must be a number of seconds from {low:g} to {high:g}")


def _method(text: str | None, *, default: str) -> str:
    method = default if text is None else text.upper()
    if method not in METHODS:
        raise Refused("--method", f"it must be one of {', '.join(METHODS)}")
    return method


def _body(text: str) -> bytes:
    """Return the data itself, or what the file or the standard input holds, as it is."""
    try:
        if text in ("-", "@-"):
            text = sys.stdin.buffer.read(request.MAX_BODY_BYTES + 1).decode()
        elif text.startswith("@"):
            with Path(text[1:]).open("rb") as file:
                text = file.read(request.MAX_BODY_BYTES + 1).decode()
        return request.encode_body(text)[0].encode()
    except OSError as error:
        words = f"the file cannot be read ({error.strerror}): name a readable one after the @"
        raise Refused("--data", words) from None
    except UnicodeDecodeError:
        raise Refused("--data", "it is not UTF-8: a check sends text only") from None
    except ValueError as error:
        raise Refused("--data", str(error)) from None


def _headers(options: Options, *, with_body: bool) -> tuple[tuple[str, str], ...]:
    fields: dict[str, str] = {}
    for number, text in enumerate(options.headers, start=1):
        name, colon, value = text.partition(":")
        if not colon:
            raise Refused("--header", f"number {number} has no colon: write it as 'Name: value'")
        if name in fields:
            raise Refused("--header", f"number {number} has a name given before: keep one of them")
        fields[name] = value.strip(" \t")
    for field_name, words in request.header_problems(fields):
        raise Refused("--header", words if field_name is None else f"{field_name}: {words}")
    names = {name.lower() for name in fields}
    if options.user is not None:
        if "authorization" in names:
            words = "it and the header Authorization are the same thing twice: keep one of them"
            raise Refused("--user", words)
        fields["Authorization"] = _basic(options.user)
    if with_body and "content-type" not in names:
        fields["Content-Type"] = FORM_TYPE
    return tuple(fields.items())


def _basic(text: str) -> str:
    """Return the credentials of RFC 7617, 2, in UTF-8 as the worker sends them."""
    name, colon, password = text.partition(":")
    if not colon:
        raise Refused("--user", "it has no colon: write it as user:password")
    if len(name) > request.MAX_USERNAME_CHARS or len(password) > request.MAX_SECRET_CHARS:
        words = (
            f"a user name has at most {request.MAX_USERNAME_CHARS} characters and a password "
            f"{request.MAX_SECRET_CHARS}: shorten it"
        )
        raise Refused("--user", words)
    try:
        pair = f"{request.check_username(name)}:{request.check_password(password)}"
    except ValueError as error:
        raise Refused("--user", str(error)) from None
    return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"


def _expected(text: str) -> tuple[tuple[int, int], ...]:
    try:
        return parse_expected_status(text)
    except ValueError as error:
        raise Refused("--expect", str(error)) from None


def _ip_version(options: Options, url: str) -> IPVersion:
    if options.ipv4 and options.ipv6:
        raise Refused("--ipv6", "--ipv4 excludes it: keep one of them, or leave both out for both")
    family = literal_family(url)
    if family is not None and (options.ipv6 if family == "ipv4" else options.ipv4):
        name, option = _FAMILIES[family]
        words = f"the URL's host is an {name} address, which it excludes: leave it out"
        raise Refused(option, words)
    if options.ipv4:
        return IPVersion.IPV4
    return IPVersion.IPV6 if options.ipv6 else IPVersion.BOTH


def _degraded_after(options: Options) -> int | None:
    seconds = options.degraded_after
    if seconds is None:
        return None
    _within("--degraded-after", seconds, MIN_SECONDS, MAX_TIMEOUT)
    if seconds >= options.timeout:
        words = (
            "it must be less than --timeout, or nothing is ever degraded: lower it, or raise that"
        )
        raise Refused("--degraded-after", words)
    return round(seconds * 1_000_000)


def _assertions(texts: tuple[str, ...]) -> tuple[Assertion, ...]:
    # Most checks have none, and pydantic's share of the time to start is not small.
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    from domains.assertions import Assertions, stored_form  # noqa: PLC0415

    items = []
    for number, text in enumerate(texts, start=1):
        try:
            items.append(json.loads(text))
        except (ValueError, RecursionError):
            words = (
                f"number {number} is not JSON: write one such as "
                """'{"type": "body", "operator": "contains", "value": "Welcome"}'"""
            )
            raise Refused("--assert", words) from None
    adapter: TypeAdapter[Any] = TypeAdapter(Assertions)
    try:
        checked = adapter.dump_python(adapter.validate_python(items))
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "repeated":  # its own words count from 0
            message = "it says the same as one before: remove it"
        if not first["loc"]:
            raise Refused("--assert", message) from None
        index, *way = first["loc"]
        pointer = "#" + "".join(f"/{part}" for part in way)
        words = f"number {int(index) + 1}, {pointer}: {message}"
        raise Refused("--assert", words) from None
    return read_assertions(stored_form(checked))


def _nameservers(texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return parse_nameservers(",".join(texts))
    except ValueError as error:
        raise Refused("--nameserver", str(error)) from None


def _guard(texts: tuple[str, ...], environment: Environment) -> Guard:
    """Return the guard of the settings, with what the command line allows beside them."""
    try:
        allowed: tuple[AllowedTarget, ...] = parse_allowed_targets(",".join(texts))
    except ValueError as error:
        raise Refused("--allow", str(error)) from None
    allowed = (*environment.SENTINEL_ALLOWED_TARGETS, *allowed)
    refused = environment.SENTINEL_REFUSED_TARGETS
    if not refused:
        return Guard(allowed)
    from monitoring.own_addresses import OwnAddresses  # noqa: PLC0415 - few need it

    return OwnAddresses(allowed, refused).guard()
