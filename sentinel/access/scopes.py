"""What a key may do: three scopes, each of which holds the one before it. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(StrEnum):
    """What a key may do.

    ``read`` sees what is watched and what came of it; ``write`` changes that, too; ``admin``
    also makes keys and reads the audit. None of them reads a secret: those are write-only.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


SCOPES: Final = tuple(scope.value for scope in Scope)
"""From the least to the most."""


def needed_by(method: str) -> Scope:
    """Return the scope that a request of this method needs, where its route names no other."""
    return Scope.READ if method in SAFE_METHODS else Scope.WRITE


def allows(held: Iterable[str], needed: Scope) -> bool:
    """Return whether a key with these scopes may do what needs that one."""
    rank = SCOPES.index(needed)
    return any(scope in SCOPES[rank:] for scope in held)


def in_order(scopes: Iterable[str]) -> list[str]:
    """Return scopes from the least to the most, each once: so they are stored and shown."""
    return sorted(set(scopes), key=SCOPES.index)
