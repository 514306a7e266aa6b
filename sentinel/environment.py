"""The environment, read through types: each variable once, nonsense refused in one sentence."""

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

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

API_KEY_FORM: Final = re.compile(r"[!-~]{32,200}")
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
    if not API_KEY_FORM.fullmatch(value):
        raise ValueError(
            "it must be 32 to 200 visible ASCII characters without spaces; "
            "for example the output of `openssl rand -hex 32`"
        )
    return value


def _allowed(value: Any) -> Any:
    return parse_allowed_targets(value) if isinstance(value, str) else value


def _refused(value: Any) -> Any:
    return parse_refused_targets(value) if isinstance(value, str) else value


def _nameservers(value: Any) -> Any:
    return parse_nameservers(value) if isinstance(value, str) else value


def _canaries(value: Any) -> Any:
    return parse_canaries(value) if isinstance(value, str) else value


def _networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parts = (part.strip() for part in value.split(","))
        return tuple(ipaddress.ip_network(part) for part in parts if part)
    except ValueError:
        raise ValueError(
            "give CIDRs separated by commas, such as 10.0.0.0/8,fd00::/8, with no bit set beyond "
            "the prefix"
        ) from None


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if value.lower() not in words:
            raise ValueError("write true or false")
        return words[value.lower()]
    return value


def _names(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names:
        raise ValueError("name at least one host, or leave it out to answer to any")
    return names


def _origins(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    origins = tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(
            "write origins separated by commas, such as https://sentinel.example.org, each with "
            "its scheme and without a path"
        )
    return origins


def fernet_keys(value: Any) -> Any:
    """Return comma-separated Fernet keys, each apart; what is no text is left to its type.

    Raises:
        ValueError: one of them is none; the words are for the operator.
    """
    if not isinstance(value, str):
        return value
    keys = tuple(part.strip() for part in value.split(",") if part.strip())
    if not keys or not all(_FERNET_KEY.fullmatch(key) for key in keys):
        raise ValueError(
            "it must be Fernet keys separated by commas, each 44 characters such as the output of "
            "`openssl rand -base64 32 | tr +/ -_`"
        )
    return keys


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("it is not a whole number: write digits only")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
Number = Annotated[int, BeforeValidator(_digits)]
Port = Annotated[Number, Field(ge=1, le=65535)]


class Environment(BaseSettings):
    """What the operator may set. Names, types, defaults; nothing else reads ``os.environ``.

    An empty variable counts as unset. ``NAME_FILE`` reads the value of ``NAME`` from a file.
    """

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="forbid", frozen=True
    )

    DATABASE_URL: Annotated[str, AfterValidator(_database_url)] | None = Field(None, repr=False)
    REDIS_URL: Annotated[str, AfterValidator(_redis_url)] | None = Field(None, repr=False)
    SENTINEL_SECRET_KEY: Annotated[str, Field(min_length=32)] | None = Field(None, repr=False)
    SENTINEL_ENCRYPTION_KEYS: Annotated[
        tuple[str, ...] | None, BeforeValidator(fernet_keys), Field(repr=False)
    ] = None
    SENTINEL_API_KEY: Annotated[str, AfterValidator(_api_key)] | None = Field(None, repr=False)
    SENTINEL_HOST: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")] = "127.0.0.1"
    SENTINEL_PORT: Port = 8000
    FLOWER_PORT: Port = 5555
    SENTINEL_DATA_DIR: Path = Path(".sentinel")
    SENTINEL_LOCATION: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = "local"
    SENTINEL_ALLOWED_TARGETS: Annotated[
        tuple[AllowedTarget, ...], BeforeValidator(_allowed), Field(validate_default=False)
    ] = ()
    SENTINEL_REFUSED_TARGETS: Annotated[
        tuple[OwnAddress | Listener, ...], BeforeValidator(_refused), Field(validate_default=False)
    ] = ()
    SENTINEL_NAMESERVERS: Annotated[tuple[str, ...], BeforeValidator(_nameservers)] = ()
    SENTINEL_CANARIES: Annotated[tuple[tuple[str, int], ...], BeforeValidator(_canaries)] = ()
    SENTINEL_WORKER_PROCESSES: Annotated[Number, Field(ge=1, le=256)] | None = None
    SENTINEL_BATCH_SIZE: Annotated[Number, Field(ge=1, le=1500)] = 500
    SENTINEL_RAW_RETENTION_DAYS: Annotated[Number, Field(ge=2, le=3650)] = 30
    SENTINEL_PARTITION: Literal["daily", "hourly"] = "daily"
    SENTINEL_API_WORKERS: Annotated[Number, Field(ge=1, le=64)] = 2
    SENTINEL_API_THREADS: Annotated[Number, Field(ge=1, le=64)] = 4
    SENTINEL_API_POOL: Annotated[Number, Field(ge=0, le=64)] = 0
    SENTINEL_METRICS_OPEN: Flag = False
    SENTINEL_ACCESS_LOG: Flag = True
    SENTINEL_RATE_LIMIT: Annotated[Number, Field(ge=0, le=1_000_000)] = 12_000
    SENTINEL_RATE_LIMIT_FAILURES: Annotated[Number, Field(ge=0, le=1_000_000)] = 60
    SENTINEL_TRUSTED_PROXIES: Annotated[
        tuple[Network, ...], BeforeValidator(_networks), Field(validate_default=False)
    ] = ()
    SENTINEL_ALLOWED_HOSTS: Annotated[tuple[str, ...], BeforeValidator(_names)] = ("*",)
    SENTINEL_TRUSTED_ORIGINS: Annotated[tuple[str, ...], BeforeValidator(_origins)] = ()
    SENTINEL_COOKIE_SECURE: Flag | None = None
    SENTINEL_DOCS: Flag = True

    @property
    def cookies_are_secure(self) -> bool:
        """Whether browsers are told to send cookies by https only.

        Unless it is said, they are where every origin that is trusted has https.
        """
        if self.SENTINEL_COOKIE_SECURE is not None:
            return self.SENTINEL_COOKIE_SECURE
        origins = self.SENTINEL_TRUSTED_ORIGINS
        return bool(origins) and all(origin.startswith("https://") for origin in origins)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read plain variables and their ``_FILE`` forms, and nothing else."""
        return (_Variables(settings_cls),)


class _Variables(PydanticBaseSettingsSource):
    """Raw texts by field name, from ``NAME`` or from the file that ``NAME_FILE`` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value = os.environ.get(field_name) or None
        path = os.environ.get(f"{field_name}_FILE") or None
        if path is None:
            return value, field_name, False
        if value is not None:
            raise SystemExit(
                f"Sentinel: both {field_name} and {field_name}_FILE are set: keep one."
            )
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SystemExit(
                f"Sentinel: {field_name}_FILE names {path}, which cannot be read ({reason}): "
                f"name a readable file, or set {field_name} itself."
            ) from None
        return text or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                values[key] = value
        return values


CURES: Final = {
    "SENTINEL_PORT": "give a free TCP port from 1 to 65535, such as 8000",
    "FLOWER_PORT": "give a free TCP port from 1 to 65535, such as 5555",
    "SENTINEL_SECRET_KEY": "give at least 32 random characters, or leave it out to have one made",
    "SENTINEL_HOST": "give a host name or an IP address to listen on, such as 127.0.0.1",
    "SENTINEL_LOCATION": "give 1 to 32 lower-case letters, digits and hyphens, such as local",
    "SENTINEL_WORKER_PROCESSES": "give a whole number from 1 to 256, such as 2",
    "SENTINEL_BATCH_SIZE": "give a whole number of domains from 1 to 1500, such as 500",
    "SENTINEL_API_WORKERS": "give a whole number of processes from 1 to 64, such as 2",
    "SENTINEL_API_THREADS": "give a whole number of threads from 1 to 64, such as 4",
    "SENTINEL_API_POOL": "give a whole number of connections from 0 to 64, such as 4",
    "SENTINEL_RAW_RETENTION_DAYS": "give a whole number of days from 2 to 3650, such as 30",
    "SENTINEL_RATE_LIMIT": "give a whole number of requests of one key in a minute, 0 for no limit",
    "SENTINEL_RATE_LIMIT_FAILURES": (
        "give a whole number of requests without a valid key in a minute, 0 for no limit"
    ),
    "SENTINEL_PARTITION": "give daily, or hourly where there are many thousands of domains",
    "SENTINEL_DATA_DIR": "give the path of a folder, such as .sentinel",
}


def read_environment() -> Environment:
    """Read and check every variable.

    Raises:
        SystemExit: with one sentence that names the variable and the cure.
    """
    known = {name + suffix for name in Environment.model_fields for suffix in ("", "_FILE")}
    for name in sorted(os.environ):
        if name.startswith("SENTINEL_") and name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.85)
            if near:
                raise SystemExit(f"Sentinel: there is no setting {name}: did you mean {near[0]}?")
    try:
        return Environment()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        cause = first.get("ctx", {}).get("error")
        cure = CURES.get(name) or (str(cause) if cause is not None else first["msg"])
        # The value may be a secret: it is never repeated.
        raise SystemExit(f"Sentinel: {name} cannot be used: {cure}.") from None
