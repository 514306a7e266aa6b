"""Why keys are not changed as was asked; the words say what to do instead."""

from sentinel.access.models import ApiKey


class KeyNotFound(LookupError):  # noqa: N818 - a 404, not a fault
    """There is no key of that id."""

    def __init__(self, key_id: int) -> None:
        super().__init__(f"there is no key {key_id}")


class KeyConflict(ValueError):  # noqa: N818 - a 409, not a fault
    """What is asked for does not go with the keys there are; the words say what to do."""


class NameTaken(KeyConflict):
    """Another key that was neither revoked nor rotated has the name."""

    def __init__(self, other: ApiKey) -> None:
        super().__init__(
            f"key {other.pk} has this name: choose another name, or first rename or revoke that key"
        )


class KeyEnded(KeyConflict):
    """A key that was revoked or rotated, or has expired, does not take part in this."""

    def __init__(self, key: ApiKey, how: str, cure: str) -> None:
        super().__init__(f"key {key.pk} {how}: {cure}")

    @classmethod
    def revoked(cls, key: ApiKey) -> "KeyEnded":
        """Return what is said where a revoked key was to be changed."""
        return cls(key, "was revoked", "that is for good, make another")


class LastAdminKey(KeyConflict):
    """Without this key nobody could make keys by the API any more, now or from some day on."""

    def __init__(self, key: ApiKey) -> None:
        until = "" if key.expires_at is None else f", until {key.expires_at:%Y-%m-%d %H:%M} UTC"
        super().__init__(
            f"no other admin key lasts as long as key {key.pk}{until}: first make one, by "
            "POST /api/keys/ with the scope admin, or where Sentinel runs by "
            "`sentinel keys create NAME --scope admin`"
        )
