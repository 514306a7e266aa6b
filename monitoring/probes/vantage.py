"""What this worker itself may lack. Asked before a target is blamed: our fault is never theirs."""

import errno
import socket
from typing import Final

# Documentation addresses (RFC 5737, RFC 3849): nobody's, and routed as any public one.
_FAR: Final = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)


def out_of_descriptors() -> bool:
    """Return whether no file can be opened: libraries then fail in words of their own."""
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
    return False


def has_route() -> bool:
    """Return whether there is a way out of this machine. Nothing is sent to find out.

    Connecting a datagram socket only looks its route up.
    """
    for family, address in _FAR:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
        except OSError:
            continue
        return True
    return False
