"""The fields of a domain that say what is watched, and when. No I/O."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from domains import models
from domains.expected_status import normalise_expected_status
from domains.weburl import MAX_URL_CHARS, normalise_url

# Controls, line separators, and what turns the direction of the text around it.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_LOCATION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def _plain(text: str) -> str:
    if match := _CONTROL.search(text):
        raise ValueError(f"it contains the control character {match[0]!r}: remove it")
    return text


def storable(text: str) -> str:
    """Return a text as it is.

    Raises:
        ValueError: PostgreSQL's text cannot hold it.
    """
    if _UNSTORABLE.search(text):
        raise ValueError("it holds a NUL or half of a surrogate pair: remove it")
    return text


def _a_location(text: str) -> str:
    if not _LOCATION.fullmatch(text):
        raise ValueError(
            "a location's name is 1 to 32 lower-case letters, digits and hyphens, and begins "
            "with a letter or digit, such as eu-west-1"
        )
    return text


def _external_id(text: str) -> str:
    if text != text.strip():
        raise ValueError("it begins or ends with white space: remove it")
    if any(part in ("", ".", "..") for part in text.split("/")):
        # Clients and proxies rewrite such addresses: it would be another one that arrives.
        raise ValueError(
            "between slashes it must have more than nothing, . or ..: it is a part of an address"
        )
    return text


def _distinct(items: list[str]) -> list[str]:
    if len(set(items)) != len(items):
        raise ValueError("it names something twice: remove the repetition")
    return items


def _whole_ticks(seconds: int) -> int:
    if seconds % models.INTERVAL_STEP:
        raise ValueError(f"it must be a multiple of {models.INTERVAL_STEP} seconds, such as 60")
    return seconds


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_plain),
    Field(description="What people call it."),
]
ExternalId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_plain),
    AfterValidator(storable),
    AfterValidator(_external_id),
    Field(
        description="What another system calls it; no two domains have the same.",
        examples=["cmdb/4711"],
    ),
]
Group = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_plain),
    AfterValidator(storable),
    Field(description="The one group it is of, such as a team or a product.", examples=["Shop"]),
]
Url = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_URL_CHARS),
    AfterValidator(normalise_url),
    Field(description="An http or https address; stored in its normal form."),
]
Method = Annotated[
    Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
    Field(description="The method of the request."),
]
Interval = Annotated[
    int,
    Field(
        strict=True,
        ge=models.MIN_INTERVAL,
        le=models.MAX_INTERVAL,
        description="Seconds from one check to the next, a multiple of 5.",
        json_schema_extra={"multipleOf": models.INTERVAL_STEP},
    ),
    AfterValidator(_whole_ticks),
]
Timeout = Annotated[
    int,
    Field(
        strict=True,
        ge=models.MIN_TIMEOUT,
        le=models.MAX_TIMEOUT,
        description=(
            "Seconds for the whole check, DNS and body included. It may be longer than "
            "`interval`: then a check that takes so long is still under way at the next."
        ),
    ),
]
ExpectedStatus = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(normalise_expected_status),
    Field(description="Status codes that count as up: codes and ranges separated by commas."),
]
_Flag = Annotated[bool, Field(strict=True)]
FollowRedirects = Annotated[
    _Flag, Field(description="Whether to go where redirects lead, at most 10 of them.")
]
VerifyTls = Annotated[
    _Flag, Field(description="Whether a certificate that is not valid is `down`.")
]
Enabled = Annotated[_Flag, Field(description="Whether it is checked on schedule.")]
Tags = Annotated[
    list[
        Annotated[
            str,
            StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
            AfterValidator(_plain),
        ]
    ],
    Field(
        max_length=50,
        description="Words to find it by, in the list's filter `tag`.",
        examples=[["prod", "eu"]],
        json_schema_extra={"uniqueItems": True},
    ),
    AfterValidator(_distinct),
]
Locations = Annotated[
    list[
        Annotated[
            str,
            AfterValidator(_a_location),
            Field(json_schema_extra={"pattern": f"^{_LOCATION.pattern}$"}),
        ]
    ],
    Field(
        min_length=1,
        max_length=20,
        description="Names of the locations that check it.",
        json_schema_extra={"uniqueItems": True},
    ),
    AfterValidator(_distinct),
]
