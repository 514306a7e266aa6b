"""From the fields that people send to the columns that are stored, secrets sealed.

A secret is never shown again: answers have the mask in its place. Where the mask comes back,
the stored secret stays, so what was read can be edited and sent without knowing or losing it.
"""

from collections.abc import Mapping
from typing import Any, Final

from domains.models import Domain
from domains.request import MASK, encode_body
from domains.rules import FieldsRefused, pointer
from domains.secrets import seal

_CREDENTIALS: Final = {"basic": "password", "bearer": "token"}
_CURE: Final = "the mask stands for a stored value, and none is stored here: send the value itself"

_Errors = list[tuple[str, str]]


def columns_of(fields: Mapping[str, Any], stored: Domain | None) -> dict[str, Any]:
    """Return the columns of a ``Domain`` that the given fields set.

    Args:
        fields: valid each by itself (``domains.schemas``), secrets in plain or as the mask.
        stored: the domain that is changed; None where one is registered.

    Raises:
        FieldsRefused: a mask stands where no secret is stored.
    """
    errors: _Errors = []
    columns: dict[str, Any] = {}
    for name, value in fields.items():
        match name:
            case "headers":
                columns["sealed_headers"] = _headers(value, stored, errors)
            case "body":
                columns |= _body(value, stored, errors)
            case "auth":
                columns |= _auth(value, stored, errors)
            case "degraded_after":
                columns["degraded_after_us"] = None if value is None else round(value * 1_000_000)
            case _:
                columns[name] = value
    if errors:
        raise FieldsRefused(errors)
    return columns


def _headers(headers: Mapping[str, str], stored: Domain | None, errors: _Errors) -> list[list[str]]:
    kept = {name.lower(): sealed for name, sealed in (stored.sealed_headers if stored else ())}
    sealed_headers = []
    for name, value in headers.items():
        if value != MASK:
            sealed_headers.append([name, seal(value)])
        elif name.lower() in kept:
            sealed_headers.append([name, kept[name.lower()]])
        else:
            errors.append((pointer("headers", name), _CURE))
    return sealed_headers


def _body(body: Any, stored: Domain | None, errors: _Errors) -> dict[str, Any]:
    if body == MASK:
        if stored is None or stored.sealed_body is None:
            errors.append((pointer("body"), _CURE))
        return {}
    if body in (None, ""):
        return {"sealed_body": None, "body_is_json": False}
    text, is_json = encode_body(body)
    return {"sealed_body": seal(text), "body_is_json": is_json}


def _auth(
    auth: Mapping[str, str] | None, stored: Domain | None, errors: _Errors
) -> dict[str, str | None]:
    if auth is None:
        return {"auth_type": None, "auth_username": None, "sealed_credential": None}
    field = _CREDENTIALS[auth["type"]]
    columns: dict[str, str | None] = {
        "auth_type": auth["type"],
        "auth_username": auth.get("username"),
    }
    if auth[field] != MASK:
        columns["sealed_credential"] = seal(auth[field])
    elif stored is None or stored.auth_type != auth["type"]:
        errors.append((pointer("auth", field), _CURE))
    return columns
