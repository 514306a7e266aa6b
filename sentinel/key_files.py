"""Keys that nobody gave: made at the first start, and kept in files of the data folder."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from sentinel.environment import Environment
from sentinel.environment_types import fernet_keys


def api_key(environment: Environment) -> str:
    """Return the bootstrap API key: as given, or one made and kept in the data folder.

    Its form is ``prefix.secret``, with 256 random bits in the secret.
    """
    return environment.SENTINEL_API_KEY or secret_from(
        environment.SENTINEL_DATA_DIR.absolute() / "api_key", new_key
    )


def encryption_keys(environment: Environment) -> tuple[str, ...]:
    """Return the keys that secrets are encrypted with: as given, or one kept in the data folder.

    The first encrypts, each of them decrypts. The file may hold several, as the variable may.

    Raises:
        SystemExit: the file holds something else, or cannot be made.
    """
    if environment.SENTINEL_ENCRYPTION_KEYS is not None:
        return environment.SENTINEL_ENCRYPTION_KEYS
    path = environment.SENTINEL_DATA_DIR.absolute() / "encryption_key"
    text = secret_from(path, lambda: Fernet.generate_key().decode("ascii"))
    try:
        keys = fernet_keys(text)
    except ValueError as error:
        raise SystemExit(f"Sentinel: {path} cannot be used: {error}.") from None
    return keys


def new_key() -> str:
    """Return a new API key."""
    return f"{secrets.token_hex(4)}.{secrets.token_urlsafe(32)}"


def secret_from(path: Path, make: Callable[[], str]) -> str:
    """Return the text in ``path``; where there is none, ``make()`` it and store it, mode 0600.

    Two processes that start at once agree: the file is linked into place complete, and
    the second link loses.

    Raises:
        SystemExit: the folder cannot be written.
    """
    try:
        if found := path.read_text(encoding="ascii").strip():
            return found
        raise SystemExit(f"Sentinel: {path} is empty: delete it, and another one is made.")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SystemExit(f"Sentinel: {path} cannot be read ({error.strerror}).") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as draft:
            draft.write(make() + "\n")
            draft.flush()
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    except OSError as error:
        raise SystemExit(
            f"Sentinel: the folder {path.parent} cannot be written ({error.strerror}): "
            "give SENTINEL_DATA_DIR a folder that this user may write."
        ) from None
    return path.read_text(encoding="ascii").strip()
