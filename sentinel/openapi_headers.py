"""The headers of answers, and the one that every POST takes, as the OpenAPI document has them."""

from typing import Any, Final

_TEXT: Final = {"type": "string"}
HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's id: the one that was sent, or one that was made; the log "
        "has it with each line.",
        "schema": _TEXT,
        "example": "0f6bd3e8c1f94a47a6d0b6a3a5e1c2d4",
    },
    "RateLimit": {
        "description": "What is left of the key's requests (`r`), and for how many seconds (`t`).",
        "schema": _TEXT,
        "example": '"key";r=11990;t=42',
    },
    "RateLimit-Policy": {
        "description": "How many requests (`q`) a key has in how many seconds (`w`).",
        "schema": _TEXT,
        "example": '"key";q=12000;w=60',
    },
    "Idempotency-Replayed": {
        "description": "`true` where this is the stored answer of an earlier request with the "
        "same `Idempotency-Key`.",
        "schema": {"const": "true"},
        "example": "true",
    },
    "Retry-After": {
        "description": "After how many seconds it is worth trying again.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 5,
    },
    "WWW-Authenticate": {
        "description": "How a key is sent (RFC 6750).",
        "schema": _TEXT,
        "example": "Bearer",
    },
    "Location": {
        "description": "The address of what was made.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/api/domains/1",
    },
    "ETag": {
        "description": "The version of what is answered, for `If-Match`.",
        "schema": _TEXT,
        "example": '"5f0c6a526f0e4a55"',
    },
}

IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "A text of your own, such as a random UUID, that names this request: sent "
    "again with the same key and the same body, it is not done twice, and the first answer comes "
    "again.",
    # No example: the documentation page would send it with every request that is tried.
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}
