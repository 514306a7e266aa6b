"""A domain's fields under the names and with the values that people see. No I/O."""

from collections.abc import Collection
from types import MappingProxyType
from typing import Any, Final

from domains.models import Domain

FIELDS: Final = (
    "external_id",
    "name",
    "url",
    "method",
    "headers",
    "body",
    "auth",
    "http2",
    "ip_version",
    "interval",
    "timeout",
    "expected_status",
    "degraded_after",
    "assertions",
    "follow_redirects",
    "verify_tls",
    "locations",
    "group",
    "tags",
    "enabled",
)
"""What people set of a domain."""

_FIELD_OF: Final = MappingProxyType(
    {
        "sealed_headers": "headers",
        "sealed_body": "body",
        "body_is_json": "body",
        "auth_type": "auth",
        "auth_username": "auth",
        "sealed_credential": "auth",
        "degraded_after_us": "degraded_after",
    }
)


def fields_of(columns: Collection[str]) -> frozenset[str]:
    """Return the names of the fields that some columns of the table store."""
    return frozenset(_FIELD_OF.get(column, column) for column in columns)


def shown(domain: Domain, fields: Collection[str] = FIELDS) -> dict[str, Any]:
    """Return fields of a domain as the API shows them: a mask stands for each secret."""
    return {name: getattr(domain, name) for name in FIELDS if name in fields}
