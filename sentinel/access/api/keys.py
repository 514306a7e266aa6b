"""The routes of API keys."""

from datetime import timedelta
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router, Status

from domains.api import AsShown, Cursor, Limit, actor_of, next_link
from domains.clock import database_now
from domains.paging import DEFAULT_LIMIT
from domains.schemas import problems
from sentinel.access import services
from sentinel.access.authentication import ADMIN_ONLY, ways
from sentinel.access.schemas import (
    KeyIn,
    KeyMade,
    KeyOut,
    KeyPage,
    KeyPatch,
    RotationIn,
    State,
    key_out,
)
from sentinel.access.scopes import Scope

router = Router(tags=["access"], auth=ADMIN_ONLY)

KeyId = Annotated[int, AsShown, Path(ge=1, le=2**63 - 1, description="The id of the key.")]
InState = Annotated[State | None, Query(description="Only the keys in this state; default: all.")]


def _show_once(response: HttpResponse, location: str) -> None:
    response["Location"] = location
    response["Cache-Control"] = "no-store"


@router.get(
    "/",
    response={200: KeyPage, **problems()},
    operation_id="listKeys",
    summary="List the API keys",
)
def page(
    request: HttpRequest,
    state: InState = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Any:
    """List the keys in the order in which they were made, those that ended too."""
    now = database_now()
    keys, after = services.page_of_keys(state=state, cursor=cursor, limit=limit, now=now)
    return {"items": [key_out(key, now=now) for key in keys], "next": next_link(request, after)}


@router.post(
    "/",
    response={201: KeyMade, **problems(400, 409)},
    operation_id="createKey",
    summary="Make an API key",
)
def create(request: HttpRequest, response: HttpResponse, payload: KeyIn) -> Any:
    """Make a key. The answer is the one place where all of it is shown."""
    now = database_now()
    key, text = services.create_key(
        name=payload.name,
        scopes=payload.scopes,
        expires_at=payload.expires_at,
        by=actor_of(request),
        now=now,
    )
    _show_once(response, f"{request.path}{key.pk}")
    return Status(201, {**key_out(key, now=now), "key": text})


# Before those of one key: a fixed word is no key's id.
@router.get(
    "/self",
    auth=ways(Scope.READ),
    response={200: KeyOut, **problems()},
    operation_id="getOwnKey",
    summary="Read the key in use",
)
def read_own(request: HttpRequest) -> Any:
    """Read the key that this request carries: its name, scopes and expiry. Any scope will do."""
    key = request.auth  # type: ignore[attr-defined]  # by Ninja
    return key_out(key, now=database_now())


@router.get(
    "/{key_id}",
    response={200: KeyOut, **problems(404)},
    operation_id="getKey",
    summary="Read an API key",
)
def read(request: HttpRequest, key_id: KeyId) -> Any:
    """Read what is known of one key."""
    return key_out(services.get_key(key_id), now=database_now())


@router.patch(
    "/{key_id}",
    response={200: KeyOut, **problems(400, 404, 409)},
    operation_id="changeKey",
    summary="Change an API key",
)
def change(request: HttpRequest, key_id: KeyId, payload: KeyPatch) -> Any:
    """Change its name, scopes or expiry, at once. Not so that nobody is left to make keys."""
    now = database_now()
    fields = payload.dict(exclude_unset=True)
    key = services.change_key(key_id, fields, by=actor_of(request), now=now)
    return key_out(key, now=now)


@router.delete(
    "/{key_id}",
    response={204: None, **problems(404, 409)},
    operation_id="revokeKey",
    summary="Revoke an API key",
)
def revoke(request: HttpRequest, key_id: KeyId) -> Any:
    """Revoke a key at once and for good; it stays in the list.

    Not an admin key as long as which no other lasts: somebody is to be left to make keys.
    """
    services.revoke_key(key_id, by=actor_of(request), now=database_now())
    return Status(204, None)


@router.post(
    "/{key_id}/rotate",
    response={201: KeyMade, **problems(400, 404, 409)},
    operation_id="rotateKey",
    summary="Rotate an API key",
)
def rotate(request: HttpRequest, response: HttpResponse, key_id: KeyId, payload: RotationIn) -> Any:
    """Make a key of the same name, scopes and lifetime; the one that was expires after `overlap`.

    The answer is the one place where all of the new key is shown.
    """
    now = database_now()
    _, key, text = services.rotate_key(
        key_id, overlap=timedelta(seconds=payload.overlap), by=actor_of(request), now=now
    )
    _show_once(response, f"{request.path.removesuffix(f'{key_id}/rotate')}{key.pk}")
    return Status(201, {**key_out(key, now=now), "key": text})
