"""How far the probe is: the one place that says which rows it cannot pass yet, and why.

A row stays as it is when the probe learns to pass it; its line here goes.
"""

from typing import Final

FEATURES: Final[frozenset[str]] = frozenset()
"""Features that rows may need, and that the probe has: ``assertions`` (judged by the probe),
``degraded`` (``degraded_after_us``), ``http2``, ``nameservers``, ``request`` (method,
headers and body of the Target are sent). Rows that need another one are skipped."""

WRONG: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("HTTP head: answers in HTTP/1.0", "HTTP head: answers in HTTP/1.1"),
        "the version is not recorded",
    ),
    "HTTP head: status line of HTTP/1.9": "refused; to be read as 1.1 (RFC 9110, 2.5)",
    "HTTP head: status line of HTTP/2.0 in text": "taken for HTTP/1.1 (RFC 9110, 2.5)",
    **dict.fromkeys(
        ("HTTP head: header over two lines", "HTTP head: header over two lines, with a tab"),
        "refused; a user agent has to read it (RFC 9112, 5.2)",
    ),
    **dict.fromkeys(
        (
            "HTTP head: header of 100 kB",
            "HTTP head: header with a name of 100 kB",
            "redirect: to an address of 100 kB",
        ),
        "a head that comes in one piece is not held to the limit",
    ),
    **dict.fromkeys(
        ("HTTP body: length twice, the same", "HTTP body: length as a list of the same"),
        "refused; to be read as one (RFC 9112, 6.3, rule 5)",
    ),
    **dict.fromkeys(
        ("HTTP body: transfer coding chunked, gzip", "HTTP body: transfer coding xchunked"),
        "the end of the connection is not taken for the body's (RFC 9112, 6.3, rule 4)",
    ),
    **dict.fromkeys(
        (
            "HTTP body: chunks with an extension without end",
            "HTTP body: chunks and trailers without end",
        ),
        "read until the deadline, at the cost of a core and of every neighbour",
    ),
    "HTTP body: sends a second answer after the first": (
        "the second answer's status replaces the first's (RFC 9112, 6.3)"
    ),
    **dict.fromkeys(
        (
            "TLS session: lets the end of the connection end the body, without goodbye",
            "TLS session: lets the end of the connection end the body, without goodbye, in TLS 1.2",
        ),
        "a body that may be cut is taken for whole (RFC 9112, 8 and 9.8)",
    ),
    "TLS session: answers before it is asked": (
        "data before the request is taken for its answer (RFC 9112, 9.2)"
    ),
    "TLS certificate: has a common name only": "the common name is looked at (RFC 9110, 4.3.4)",
    "DNS: answers with noise": (
        "noise of anybody's fails the question, and its neighbours' (RFC 5452, 9.1)"
    ),
    "TLS handshake: alerts: no application protocol": "the alert is told as 'broken'",
}
"""Rows that the probe has everything for, and ends wrong: the row, and what is wrong."""
