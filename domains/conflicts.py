"""Why a change that is valid by itself cannot be made to what is stored. No I/O."""


class DomainNotFound(LookupError):  # noqa: N818 - a 404, not a fault
    """There is no domain of that id, or of that external_id."""

    def __init__(self, wanted: int | str) -> None:
        what = f"{wanted}" if isinstance(wanted, int) else f"with the external_id {wanted!r}"
        super().__init__(f"there is no domain {what}")


class Conflict(Exception):  # noqa: N818 - a 409, not a fault
    """What is asked for cannot stand beside what there is."""


class ExternalIdTaken(Conflict):
    """Another domain has that external_id."""

    def __init__(self, external_id: str) -> None:
        super().__init__(
            f"another domain has the external_id {external_id!r}: read it at "
            "/api/domains/?external_id=…, or give another one"
        )


class NamedTwice(Conflict):
    """A request names one domain in two items, and which of them is meant to win is not said."""

    def __init__(self, index: int) -> None:
        super().__init__(f"item {index} names this domain already: name it once in a request")


class VersionMismatch(Exception):  # noqa: N818 - a 412, not a fault
    """The domain is not, or not any more, what the client says that it is."""
