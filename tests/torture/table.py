"""The table: every behaviour of every group."""

from typing import Final

from tests.torture import bodies, chains, goodbyes, handshakes, heads, http2, names, redirects, tcp
from tests.torture.case import Case

TABLE: Final[tuple[Case, ...]] = (
    *tcp.CASES,
    *handshakes.CASES,
    *chains.CASES,
    *goodbyes.CASES,
    *heads.CASES,
    *bodies.CASES,
    *redirects.CASES,
    *names.CASES,
    *http2.CASES,
)
