"""The text form of accepted status codes, such as ``200-299,401``."""

import re
from functools import lru_cache
from typing import Final

_RANGE: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")

CURE: Final = "write codes and ranges from 100 to 599 separated by commas, such as 200-299,401"


@lru_cache(maxsize=1024)  # a worker reads the same few texts for every check
def parse_expected_status(text: str) -> tuple[tuple[int, int], ...]:
    """Return inclusive (low, high) ranges in the order written.

    Raises:
        ValueError: the text is not of that form; the message is the cure.
    """
    ranges = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is not a status: {CURE}")
        low = int(match[1])
        high = int(match[2] or low)
        if high < low:
            raise ValueError(f"{part.strip()!r} runs backwards: {CURE}")
        ranges.append((low, high))
    return tuple(ranges)


def normalise_expected_status(text: str) -> str:
    """Return the same ranges without spaces.

    Raises:
        ValueError: see ``parse_expected_status``.
    """
    return ",".join(
        str(low) if low == high else f"{low}-{high}" for low, high in parse_expected_status(text)
    )
