"""What a variable of the environment may say: a type each, which refuses in words.

The words are for the operator, and end a sentence that begins with the variable's name. None
repeats what was there: it may be a secret.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from monitoring.probes.canaries import parse_canaries
from monitoring.probes.guard import (
    AllowedTarget,
    Listener,
    OwnAddress,
    parse_allowed_targets,
    parse_refused_targets,
)
from monitoring.probes.nameservers import parse_nameservers

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_API_KEY_FORM: Final = re.compile(r"[!-~]{32,200}")
_ORIGIN: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_FERNET_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}=")  # 32 bytes in the URL's base64


def _database_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("write it as postgresql://user:password@host:5432/database")
    # Here and not above: a command that needs no database should not wait for its library.
    from psycopg import ProgrammingError  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        parts = conninfo_to_dict(value)
    except ProgrammingError as error:
        raise ValueError(
            "write it as postgresql://user:password@host:5432/database, with special characters "
            "in the password percent-encoded"
        ) from error
    ports = str(parts.get("port") or "5432").split(",")
    if not all(port.isdecimal() and 0 < int(port) < 65_536 for port in ports):
        raise ValueError("its port is not a number from 1 to 65535")
    if not str(parts.get("connect_timeout") or "3").isdecimal():
        raise ValueError("its connect_timeout is not a whole number of seconds")
    if not parts.get("dbname"):
        raise ValueError("it names no database: end it with /database")
    return value


def _redis_url(value: str) -> str:
    from sentinel import broker  # noqa: PLC0415 - as above

    broker.check(value)
    return value


def _api_key(value: str) -> str:
    if not _API_KEY_FORM.fullmatch(value):
        raise ValueError(
            "it must be 32 to 200 visible ASCII characters without spaces; "
            "for example the output of `openssl rand -hex 32`"
        )
    return value


def _networks(value: str) -> tuple[Network, ...]:
    try:
        parts = (part.strip() for part in value.split(","))
        return tuple(ipaddress.ip_network(part) for part in parts if part)
    except ValueError:
        raise ValueError(
            "give CIDRs separated by commas, such as 10.0.0.0/8,fd00::/8, with no bit set beyond "
            "the prefix"
        ) from None


def _flag(value: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in words:
        raise ValueError("write true or false")
    return words[value.lower()]


def _names(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names:
        raise ValueError("name at least one host, or leave it out to answer to any")
    return names


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(
            "write origins separated by commas, such as https://sentinel.example.org, each with "
            "its scheme and without a path"
        )
    return origins


def fernet_keys(value: str) -> tuple[str, ...]:
    """Return comma-separated Fernet keys, each apart.

    Raises:
        ValueError: one of them is none; the words are for the operator.
    """
    keys = tuple(part.strip() for part in value.split(",") if part.strip())
    if not keys or not all(_FERNET_KEY.fullmatch(key) for key in keys):
        raise ValueError(
            "it must be Fernet keys separated by commas, each 44 characters such as the output of "
            "`openssl rand -base64 32 | tr +/ -_`"
        )
    return keys


def _digits(value: str) -> str:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("it is not a whole number: write digits only")
    return value


def _read_by(read: Callable[[str], Any]) -> BeforeValidator:
    """Read texts; what is none, such as a default, is left to its type."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
ApiKey = Annotated[str, AfterValidator(_api_key)]
FernetKeys = Annotated[tuple[str, ...], _read_by(fernet_keys)]
AllowedTargets = Annotated[tuple[AllowedTarget, ...], _read_by(parse_allowed_targets)]
RefusedTargets = Annotated[tuple[OwnAddress | Listener, ...], _read_by(parse_refused_targets)]
Nameservers = Annotated[tuple[str, ...], _read_by(parse_nameservers)]
Canaries = Annotated[tuple[tuple[str, int], ...], _read_by(parse_canaries)]
Networks = Annotated[tuple[Network, ...], _read_by(_networks)]
Names = Annotated[tuple[str, ...], _read_by(_names)]
Origins = Annotated[tuple[str, ...], _read_by(_origins)]
Flag = Annotated[bool, _read_by(_flag)]
Number = Annotated[int, _read_by(_digits)]
Port = Annotated[Number, Field(ge=1, le=65535)]
