"""Which form of an answer a client asks for by ``Accept`` (RFC 9110, 12.5.1)."""

from collections.abc import Sequence

from django.http import HttpRequest


class NotAcceptable(ValueError):  # noqa: N818 - bad input, answered as such
    """The client takes none of the forms that there are."""

    def __init__(self, offers: Sequence[str]) -> None:
        super().__init__(
            f"this address answers as {', '.join(offers)}: name one of them in Accept, "
            "or leave it out"
        )


def preferred(request: HttpRequest, offers: Sequence[str]) -> str:
    """Return the media type that a client likes best; of equals the one it named, or the first.

    Raises:
        NotAcceptable: it takes none of them.
    """
    ranges = [_range(text) for text in request.headers.get("Accept", "").split(",") if text.strip()]
    if not ranges:
        return offers[0]
    best: tuple[float, int] = (0.0, 0)
    chosen = None
    for offer in offers:
        # The most specific range that takes an offer says how much it is liked.
        liked = max(
            (
                (specificity, quality)
                for name, quality in ranges
                if (specificity := _specificity(name, offer)) is not None
            ),
            default=None,
        )
        if liked is not None and liked[1] > 0 and (liked[1], liked[0]) > best:
            best, chosen = (liked[1], liked[0]), offer
    if chosen is None:
        raise NotAcceptable(offers)
    return chosen


def _range(text: str) -> tuple[str, float]:
    """Return a media range and its quality; parameters such as a charset are left out."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        key, _, number = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, min(max(float(number), 0.0), 1.0)
            except ValueError:
                return name, 1.0
    return name, 1.0


def _specificity(name: str, offer: str) -> int | None:
    family = offer.partition("/")[0]
    return {offer: 2, f"{family}/*": 1, "*/*": 0}.get(name)
