"""The secrets of a request, where a server sends them back: taken out of what is told of a check.

Pages for tests answer with the request's headers, sign-ins lead to an address with the token in
its path, and an assertion quotes the value that it found. Whoever may read results, or write an
assertion, is not to learn by that what a domain was given to send.

A text counts as the secret where it is all of it, or has a longer run of it in common: words are
cut, and servers send back parts. What stands in the target's own address is told to everybody.
"""

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final
from urllib.parse import quote, unquote

from domains.request import MASK
from monitoring.probes.outcome import Target

SHORTEST: Final = 6
"""Characters of a secret that is looked for; a shorter one is found everywhere."""

RUN: Final = 12
"""Characters in a row of a secret that give it away."""

_MOST_OF_A_BODY: Final = 8 * 1024
"""Bytes of a body that are looked for: cut into runs they take some milliseconds."""

_LONG: Final = 128
"""Characters of a text from which on the secrets are cut into runs first: an address made of bits
of them would else have all of them searched for each bit, and other checks wait for it."""

_NO_SECRETS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "content-type", "host",
     "origin", "pragma"}
)  # fmt: skip
"""Headers that say what a message is, what is wished for and where it goes: servers have the same
words for their answers, and they stand in words for people."""

_LOWER: Final = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


def masked(text: str, target: Target) -> str:
    """Return a text with a mask in place of each secret of a target, and of each longer part."""
    found = bytearray(len(text))
    lower = _lower(text)
    own = _lower(target.url)
    secrets = dict.fromkeys(_lower(each) for each in _secrets(target))
    if len(text) > _LONG:
        places = _places_of_any(secrets, lower)
    else:
        places = chain.from_iterable(_places(secret, lower) for secret in secrets)
    for start, end in places:
        if lower[start:end] not in own:
            found[start:end] = b"\1" * (end - start)
    return "".join(_with_masks(text, found)) if any(found) else text


def _lower(text: str) -> str:
    # Names of hosts come back in lower case. Only ASCII: the places are to stay the same.
    return text.translate(_LOWER)


def _secrets(target: Target) -> Iterator[str]:
    for name, value in target.headers:
        if name.lower() not in _NO_SECRETS:
            yield from _forms(value)
            # Of credentials (RFC 9110, 11.4) what comes after the scheme, and what is in it.
            scheme, _, credentials = value.partition(" ")
            if name.lower() == "authorization" and credentials:
                yield from _forms(credentials)
                if scheme.lower() == "basic":
                    yield from _forms(_password(credentials))
    if target.body:
        yield from _forms(target.body[:_MOST_OF_A_BODY].decode("utf-8", "replace"))


def _forms(secret: str) -> Iterator[str]:
    """Yield a text as it is and as it stands in an address."""
    for form in (secret, quote(secret), quote(secret, safe=""), unquote(secret)):
        if len(form) >= SHORTEST:
            yield form


def _password(credentials: str) -> str:
    try:
        pair = base64.b64decode(credentials, validate=True).decode("utf-8", "replace")
    except ValueError:
        return ""
    return pair.partition(":")[2]


def _places(secret: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where a text has all of a secret, or ``RUN`` characters of it in a row."""
    size = min(len(secret), RUN)
    # Whatever is so long holds one of these whole: mostly none of them is in the secret.
    half = size // 2
    for part in range(0, len(text) - half + 1, half):
        if text[part : part + half] in secret:
            for start in range(max(0, part + half - size), min(part, len(text) - size) + 1):
                if text[start : start + size] in secret:
                    yield start, start + size


def _places_of_any(secrets: Iterable[str], text: str) -> Iterator[tuple[int, int]]:
    """Yield the same of all secrets, in a time that does not turn on what they have in common."""
    runs: dict[int, set[str]] = defaultdict(set)
    for secret in secrets:
        size = min(len(secret), RUN)
        runs[size].update(secret[start : start + size] for start in range(len(secret) - size + 1))
    for size, known in runs.items():
        for start in range(len(text) - size + 1):
            if text[start : start + size] in known:
                yield start, start + size


def _with_masks(text: str, found: bytearray) -> Iterator[str]:
    for place, character in enumerate(text):
        if not found[place]:
            yield character
        elif not place or not found[place - 1]:
            yield MASK
