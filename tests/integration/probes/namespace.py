"""A network of one's own, in which every address is this machine's, and a witness of its packets.

For a process that does nothing else: once it has entered, it cannot go back, and whatever it
dials, it can reach nobody but itself. Linux alone; root, or user namespaces for everybody.
"""

import ctypes
import fcntl
import os
import socket
import struct
from ipaddress import ip_address
from typing import Final

# Constants of <linux/sched.h>, <linux/sockios.h>, <linux/if.h>, <linux/rtnetlink.h> and
# <linux/if_packet.h>, which Python's modules lack.
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_RTM_NEWROUTE: Final = 24
_REQUEST_ACK_CREATE: Final = 0x1 | 0x4 | 0x400
_RT_TABLE_LOCAL: Final = 255
_RTPROT_STATIC: Final = 4
_RT_SCOPE_HOST: Final = 254
_RTN_LOCAL: Final = 2
_RTA_OIF: Final = 4
_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_SYN: Final = 0x02
_ACK: Final = 0x10


class Unavailable(Exception):  # noqa: N818 - a reason to skip
    """This machine lets nobody like us have a network of his own; the message says why."""


def enter() -> None:
    """Leave every network for an empty one, and make every address in it local.

    Raises:
        Unavailable: it may not be.
    """
    _unshare()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    for family in (socket.AF_INET, socket.AF_INET6):
        _make_everything_local(family)


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        raise Unavailable("a network namespace needs Linux")
    if libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        return
    raise Unavailable(
        "a network namespace needs root or user namespaces for everybody: "
        f"{os.strerror(ctypes.get_errno())}"
    )


def _make_everything_local(family: socket.AddressFamily) -> None:
    """Do what ``ip route add local default dev lo`` does."""
    route = struct.pack(
        "=BBBBBBBBI",
        *(family, 0, 0, 0, _RT_TABLE_LOCAL, _RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL, 0),
    )
    out = struct.pack("=HHI", 8, _RTA_OIF, socket.if_nametoindex("lo"))
    header = struct.pack("=IHHII", 16 + len(route + out), _RTM_NEWROUTE, _REQUEST_ACK_CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.send(header + route + out)
        (code,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    if code:
        raise Unavailable(f"no route for {family.name}: {os.strerror(-code)}")


class Witness:
    """Sees every packet, and tells where connections were tried to: one SYN is enough."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._socket.bind(("lo", _ETH_P_ALL))
        self._socket.setblocking(False)

    def tell(self) -> list[tuple[str, int]]:
        """Return address and port of every connection tried since the last time.

        A packet to loopback is here before the call that sent it returns.
        """
        seen: list[tuple[str, int]] = []
        while True:
            try:
                packet, (_, protocol, kind, *_) = self._socket.recvfrom(65536)
            except BlockingIOError:
                return seen
            # A packet on loopback is seen as it leaves and as it arrives: the first counts.
            if kind == socket.PACKET_OUTGOING and (tried := _connection(packet, protocol)):
                seen.append(tried)

    def missed(self) -> int:
        """Return how many packets found no room, so that what was told may be too little."""
        figures = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        dropped: int = struct.unpack("=II", figures)[1]
        return dropped

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _connection(packet: bytes, protocol: int) -> tuple[str, int] | None:
    """Return where a packet opens a TCP connection to, if it does (RFC 791, 8200, 9293)."""
    if protocol == 0x0800:
        start, upper, target = (packet[0] & 15) * 4, packet[9], packet[16:20]
    elif protocol == 0x86DD:
        start, upper, target = 40, packet[6], packet[24:40]
    else:
        return None
    if upper != socket.IPPROTO_TCP or packet[start + 13] & (_SYN | _ACK) != _SYN:
        return None
    return str(ip_address(target)), int.from_bytes(packet[start + 2 : start + 4], "big")
