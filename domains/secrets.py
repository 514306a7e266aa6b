"""What is kept encrypted: header values, bodies, credentials.

``seal`` is for whoever takes them in. ``unseal`` is for the worker, which sends them, and for
the rotation of keys; the API has no use for it. A sealed text says nothing of the domain it
belongs to, only which keys open it: those of ``SENTINEL_ENCRYPTION_KEYS``.
"""

from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Undecipherable(Exception):  # noqa: N818 - a key is missing, which is no defect
    """None of the keys opens a sealed text."""

    def __init__(self) -> None:
        super().__init__("none of SENTINEL_ENCRYPTION_KEYS decrypts it")


def seal(text: str) -> str:
    """Return a text encrypted with the first key, as ASCII."""
    return _cipher(_keys()).encrypt(text.encode()).decode("ascii")


def unseal(sealed: str) -> str:
    """Return the text in what ``seal`` returned under any of the keys.

    Raises:
        Undecipherable: the key it was encrypted with is not among them, or it was changed.
    """
    return _opened(_cipher(_keys()), sealed)


def is_current(sealed: str) -> bool:
    """Return whether the first key opens a sealed text."""
    try:
        _opened(_cipher(_keys()[:1]), sealed)
    except Undecipherable:
        return False
    return True


def _opened(cipher: MultiFernet, sealed: str) -> str:
    try:
        return cipher.decrypt(sealed).decode()
    except InvalidToken:
        raise Undecipherable from None


def _keys() -> tuple[str, ...]:
    keys: tuple[str, ...] = settings.SENTINEL_ENCRYPTION_KEYS
    return keys


@lru_cache(maxsize=4)
def _cipher(keys: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
