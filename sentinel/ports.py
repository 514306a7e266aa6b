"""Whether a port is free, before a server is started that would say so at length."""

import errno
import socket


def check_port(host: str, port: int, setting: str) -> None:
    """Find out whether a server could listen there.

    Args:
        host: what ``SENTINEL_HOST`` says.
        port: what ``setting`` says.
        setting: the name of the variable.

    Raises:
        SystemExit: it could not; a sentence with the cure.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, number) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise SystemExit(
                f"Sentinel: SENTINEL_HOST {host} is not an address of this machine: "
                "give one to listen on, such as 127.0.0.1."
            ) from None
        raise SystemExit(
            f"Sentinel: port {port} on {host} cannot be listened on ({error.strerror}): stop what "
            f"listens there, or set {setting} to another port."
        ) from None
