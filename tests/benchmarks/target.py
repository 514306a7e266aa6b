"""What is checked: one web server on loopback, HTTP and HTTPS, in processes of its own.

It listens on as many addresses as is asked. Two ends of a connection have some 28,000 ports
between them (``net.ipv4.ip_local_port_range``), each taken for a minute after it; another address
has as many again.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

from tests.acceptance.cluster import free_port
from tests.benchmarks.measure import Failed

BODY: Final = b"It works.\n" * 20

_NGINX: Final = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
{user}
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        {listen}
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that runs.

    Attributes:
        server: what it is, such as ``nginx``.
        pid: its first process; what is below belongs to it.
        addresses: what it listens on.
        urls: by scheme, of the first address, ending in a slash; every path below answers alike.
        authority: the file of the certificate authority to trust, for SSL_CERT_FILE.
    """

    server: str
    pid: int
    addresses: Sequence[str]
    urls: dict[str, str]
    authority: Path

    def url(self, scheme: str, number: int) -> str:
        """Return a URL that no other number has; as many of them at each address."""
        address = self.addresses[number % len(self.addresses)]
        return f"{self.urls[scheme].replace(self.addresses[0], address, 1)}domain/{number}"


def nginx() -> str | None:
    """Return the path of nginx, which is not on everybody's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def serving(
    folder: Path, *, server: str | None = None, addresses: Sequence[str] = ("127.0.0.1",)
) -> Iterator[Target]:
    """Run the target: nginx where it is installed, else the bundled one.

    Args:
        folder: where its files go.
        server: ``nginx`` or ``bundled``, to choose.
        addresses: of loopback, to listen on.

    Raises:
        Failed: it cannot be had, or does not answer.
    """
    program = nginx() if server != "bundled" else None
    if program is None and server == "nginx":
        raise Failed("nginx is not installed: leave out --server nginx, or install it")
    authority, certificate, key = _certificates(folder, addresses)
    port, tls_port = free_port(), free_port()
    if program is None:
        argv = [sys.executable, "-m", "tests.benchmarks.bundled"]
        argv += [str(port), str(tls_port), str(certificate), str(key), *addresses]
    else:
        configuration = folder / "nginx.conf"
        listen = [
            f"listen {address}:{number}{kind} backlog=4096;"
            for address in addresses
            for number, kind in ((port, ""), (tls_port, " ssl"))
        ]
        configuration.write_text(
            _NGINX.format(
                folder=folder,
                listen="\n        ".join(listen),
                certificate=certificate,
                key=key,
                body=BODY.decode(),
                user="user root;" if os.getuid() == 0 else "",
            )
        )
        log = str(folder / "error.log")
        argv = [program, "-p", str(folder), "-c", str(configuration), "-e", log]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE)
    try:
        for each in (port, tls_port):
            _wait_for(process, addresses[-1], each)
        yield Target(
            server="bundled" if program is None else "nginx",
            pid=process.pid,
            addresses=addresses,
            urls={
                "http": f"http://{addresses[0]}:{port}/",
                "https": f"https://{addresses[0]}:{tls_port}/",
            },
            authority=authority,
        )
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process that was started here, and wait until it has."""
    process.send_signal(number)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _wait_for(process: subprocess.Popen[bytes], address: str, port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            words = process.stderr.read().decode().strip() if process.stderr else ""
            raise Failed(f"the target does not start: {words or 'it says nothing'}")
        with socket.socket() as attempt:
            attempt.settimeout(1)
            if attempt.connect_ex((address, port)) == 0:
                return
        time.sleep(0.05)  # a server that is starting offers nothing to wait on
    raise Failed(f"the target does not listen on port {port}")


def _certificates(folder: Path, addresses: Sequence[str]) -> tuple[Path, Path, Path]:
    """Write the files of a new authority, of a P-256 certificate by it, and of its key."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = authority.issue_cert(*addresses, "localhost", key_type=trustme.KeyType.ECDSA)
    names = [folder / name for name in ("authority.pem", "certificate.pem", "key.pem")]
    authority.cert_pem.write_to_path(str(names[0]))
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(str(names[1]), append=True)
    leaf.private_key_pem.write_to_path(str(names[2]))
    return names[0], names[1], names[2]
