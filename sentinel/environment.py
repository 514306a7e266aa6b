"""The environment, read through types: each variable once, nonsense refused in one sentence."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sentinel.environment_types import (
    AllowedTargets,
    ApiKey,
    Canaries,
    DatabaseUrl,
    FernetKeys,
    Flag,
    Names,
    Nameservers,
    Networks,
    Number,
    Origins,
    Port,
    RedisUrl,
    RefusedTargets,
)


class Environment(BaseSettings):
    """What the operator may set. Names, types, defaults; nothing else reads ``os.environ``.

    An empty variable counts as unset. ``NAME_FILE`` reads the value of ``NAME`` from a file.
    """

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="forbid", frozen=True
    )

    DATABASE_URL: DatabaseUrl | None = Field(None, repr=False)
    REDIS_URL: RedisUrl | None = Field(None, repr=False)
    SENTINEL_SECRET_KEY: Annotated[str, Field(min_length=32)] | None = Field(None, repr=False)
    SENTINEL_ENCRYPTION_KEYS: FernetKeys | None = Field(None, repr=False)
    SENTINEL_API_KEY: ApiKey | None = Field(None, repr=False)
    SENTINEL_HOST: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")] = "127.0.0.1"
    SENTINEL_PORT: Port = 8000
    FLOWER_PORT: Port = 5555
    SENTINEL_DATA_DIR: Path = Path(".sentinel")
    SENTINEL_LOCATION: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = "local"
    SENTINEL_ALLOWED_TARGETS: AllowedTargets = ()
    SENTINEL_REFUSED_TARGETS: RefusedTargets = ()
    SENTINEL_NAMESERVERS: Nameservers = ()
    SENTINEL_CANARIES: Canaries = ()
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
    SENTINEL_TRUSTED_PROXIES: Networks = ()
    SENTINEL_ALLOWED_HOSTS: Names = ("*",)
    SENTINEL_TRUSTED_ORIGINS: Origins = ()
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
