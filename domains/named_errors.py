"""How many errors of one thing are named. Pure, so that what needs no database can import it."""

from typing import Final

MOST_NAMED: Final = 100
"""Of what is wrong with one thing, so many are named: a body has room for many thousands."""


def counted(count: int) -> str:
    """Return how many fields are not valid, in words, and that not all of them are named."""
    if count == 1:
        return "1 field is not valid"
    rest = f", of which the first {MOST_NAMED} are named" if count > MOST_NAMED else ""
    return f"{count} fields are not valid{rest}"
