"""Name servers: their addresses as an operator writes them, the channel to them, their failures.

The channel is c-ares', which reads /etc/hosts, resolv.conf (search domains, ndots, rotate)
and the order in nsswitch.conf as the system's own resolver does, and like it knows
``localhost`` by heart (RFC 6761, 6.3). Changes of these files are noticed while it runs:
/etc/hosts at the next question, if its time of change is later than the reading before;
the other two within about a second. Its answers arrive in a thread of its own, so neither
their instants nor its repeats depend on how busy an event loop is.
"""

import contextlib
import re
import time
from collections.abc import Sequence
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pycares
from pycares import errno as ares
from pycares._cares import ffi, lib  # type: ignore[import-not-found]

from monitoring.probes import vantage

# A server has this long to answer at first, then what suits the times that it took before,
# doubled at each repeat of the question, up to the maximum.
_TIMEOUT_SECONDS: Final = 1.0
_MAX_TIMEOUT_MS: Final = 2000
_TRIES: Final = 3
# Then the next questions go out from another port: who cannot see a port has to guess it to
# forge an answer (RFC 5452, 9.2). A port for each would be a descriptor for each.
_QUESTIONS_A_PORT: Final = 50
# ARES_OPT_UDP_MAX_QUERIES, ARES_OPT_MAXTIMEOUTMS and ARES_OPT_QUERY_CACHE of <ares.h>;
# pycares has no names for them.
_OUR_OPTIONS: Final = 1 << 19 | 1 << 20 | 1 << 21

_CONFIGURATION: Final = (Path("/etc/resolv.conf"), Path("/etc/nsswitch.conf"))
_LOOK_SECONDS: Final = 1.0


class Cause(StrEnum):
    """Why a name has no addresses."""

    NO_SUCH_NAME = "no_such_name"
    NO_ADDRESS = "no_address"
    SERVER_FAILURE = "server_failure"
    TIMED_OUT = "timed_out"
    NOT_A_NAME = "not_a_name"
    RESOURCES = "resources"
    UNREACHABLE = "unreachable"


_UNASKED: Final = MappingProxyType(
    {
        ares.ARES_ENOTFOUND: (Cause.NO_SUCH_NAME, "no such name (NXDOMAIN)"),
        ares.ARES_ENODATA: (Cause.NO_ADDRESS, "the name has no such address (NODATA)"),
        ares.ARES_EBADNAME: (Cause.NOT_A_NAME, "not a DNS name"),
        ares.ARES_ENOMEM: (Cause.RESOURCES, "out of memory"),
        ares.ARES_EFILE: (Cause.RESOURCES, "too many open files"),
    }
)
"""What is no matter of the servers asked, or the same whichever they are."""

_UNREACHABLE: Final = (Cause.UNREACHABLE, "no name server can be reached")
_ASKED: Final = MappingProxyType(
    {
        ares.ARES_ETIMEOUT: (Cause.TIMED_OUT, "the name servers did not answer in time"),
        ares.ARES_ECONNREFUSED: _UNREACHABLE,
        ares.ARES_EBADFAMILY: _UNREACHABLE,
        lib.ARES_ENOSERVER: _UNREACHABLE,
        ares.ARES_EFORMERR: (Cause.SERVER_FAILURE, "the name servers answered FORMERR"),
        ares.ARES_ESERVFAIL: (Cause.SERVER_FAILURE, "the name servers answered SERVFAIL"),
        ares.ARES_ENOTIMP: (Cause.SERVER_FAILURE, "the name servers answered NOTIMP"),
        ares.ARES_EREFUSED: (Cause.SERVER_FAILURE, "the name servers answered REFUSED"),
    }
)
_BROKEN: Final = (Cause.SERVER_FAILURE, "the name servers' answer is broken")


class Unresolved(Exception):  # noqa: N818 - a failing target is data; the one map is in reasons
    """A host without addresses; its words are for a person.

    Attributes:
        cause: which kind of failure it is.
        waited: seconds from the question to the arrival of the answer that said so; None
            where no server was asked.
    """

    def __init__(self, cause: Cause, words: str, waited: float | None = None) -> None:
        super().__init__(words)
        self.cause = cause
        self.waited = waited


def parse_nameservers(text: str) -> tuple[str, ...]:
    """Return comma-separated name servers: IP, IP:port, [IPv6] or [IPv6]:port.

    Raises:
        ValueError: one is none; the words are for the operator.
    """
    return tuple(_nameserver(part) for part in map(str.strip, text.split(",")) if part)


def _nameserver(text: str) -> str:
    form = re.fullmatch(r"\[(?P<v6>.+)\](:(?P<port6>\d+))?|(?P<v4>[^:]+):(?P<port4>\d+)", text)
    host, port, version = text, None, None
    if form is not None:
        host, port = form["v6"] or form["v4"], form["port6"] or form["port4"]
        version = 6 if form["v6"] else 4
    try:
        address = ip_address(host)
        port_number = int(port or 53)
        known = not (address.is_unspecified or address.is_multicast)
    except ValueError:
        known = False
    if not known or version not in (None, address.version) or not 0 < port_number < 65_536:
        raise ValueError(
            f"{text} is not the address of a name server: write an IP address, and its port "
            "unless it is 53, such as 10.0.0.2, 10.0.0.3:5353 or [2001:db8::1]:5353"
        )
    if port is None:
        return str(address)
    return f"[{address}]:{port_number}" if address.version == 6 else f"{address}:{port_number}"


def in_use(nameservers: Sequence[str]) -> list[tuple[str, int]]:
    """Return host and port of the name servers to ask; of the system's where none is given.

    Args:
        nameservers: as ``parse_nameservers`` returns them.
    """
    servers = list(nameservers)
    if not servers:
        try:
            channel = Channel(())
        except Unresolved:
            return []
        servers = list(channel.servers)
        channel.end()
    found = []
    for text in servers:
        form = re.fullmatch(r"\[(?P<v6>.+)\]:(?P<port6>\d+)|(?P<v4>[^:]+):(?P<port4>\d+)", text)
        if form is None:
            found.append((text, 53))
        else:
            found.append((form["v6"] or form["v4"], int(form["port6"] or form["port4"])))
    return found


class Channel(pycares.Channel):
    """c-ares with a thread of its own, and without a cache of its own.

    Its cache would keep an answer without addresses for an hour, whatever the zone says
    (``ares_qcache_calc_minttl``), and pycares has no option against it: so the channel is
    made once more from its own options, changed.

    Args:
        nameservers: whom to ask, in this order, as ``parse_nameservers`` returns them;
            empty: the system's.

    Raises:
        Unresolved: this process has no memory, thread or file left for it.
    """

    def __init__(self, nameservers: Sequence[str]) -> None:
        try:
            super().__init__(timeout=_TIMEOUT_SECONDS, tries=_TRIES)
            plain, self._channel = self._channel, None
            self._channel = _changed(plain)
            if nameservers:
                self.servers = nameservers
        except pycares.AresError as error:
            raise Unresolved(Cause.RESOURCES, "no resolver can be made") from error
        self._stamps = _stamps()
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def end(self) -> None:
        """End its thread and its questions, which are called back; ``close`` would do so later."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            lib.ares_destroy(channel[0])

    def notice_changes(self) -> None:
        """Read the system's configuration anew, in another thread, where it has changed.

        c-ares watches the folder by itself, but not what a link or a mount in it leads to.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        stamps = _stamps()
        if stamps != self._stamps:
            with contextlib.suppress(pycares.AresError):  # no thread to be had: a second later
                self.reinit()
                self._stamps = stamps

    def failure(self, status: int) -> tuple[Cause, str]:
        """Return what a code of c-ares' stands for, and words a person can act on."""
        if status in _UNASKED:
            return _UNASKED[status]
        cause, words = _ASKED.get(status, _BROKEN)
        # It gives the same code where it can open no socket.
        if cause is Cause.UNREACHABLE and vantage.out_of_descriptors():
            return _UNASKED[ares.ARES_EFILE]
        asked = ", ".join(server.removesuffix(":53") for server in self.servers)
        return cause, f"{words} (asked: {asked})"


def _changed(plain: Any) -> Any:
    """Return a channel like another but for our options, in place of it."""
    options, mask, channel = (
        ffi.new("struct ares_options *"),
        ffi.new("int *"),
        ffi.new("ares_channel *"),
    )
    status = lib.ares_save_options(plain[0], options, mask)
    if status == ares.ARES_SUCCESS:
        options.qcache_max_ttl = 0
        options.udp_max_queries = _QUESTIONS_A_PORT
        options.maxtimeout = _MAX_TIMEOUT_MS
        status = lib.ares_init_options(channel, options, mask[0] | _OUR_OPTIONS)
    lib.ares_destroy_options(options)
    lib.ares_destroy(plain[0])
    if status != ares.ARES_SUCCESS:
        raise pycares.AresError(status, ares.strerror(status))
    return channel


def _stamps() -> tuple[tuple[int, ...] | None, ...]:
    """Return what is different once the system's configuration has changed."""
    stamps: list[tuple[int, ...] | None] = []
    for path in _CONFIGURATION:
        try:
            found = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev))
    return tuple(stamps)
