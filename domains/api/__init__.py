"""The routes of domains. What has been observed of them is asked of whoever knows it."""

from ninja import Router

from domains.api.listed import OfStates, add_list
from domains.api.many import add_many
from domains.api.parameters import (
    AsShown,
    Cursor,
    DomainId,
    Limit,
    actor_of,
    next_link,
    origin_of,
)
from domains.api.single import Observe, add_single

__all__ = [
    "AsShown",
    "Cursor",
    "DomainId",
    "Limit",
    "Observe",
    "OfStates",
    "actor_of",
    "domains_router",
    "next_link",
    "origin_of",
]


def domains_router(observe: Observe, of_states: OfStates) -> Router:
    """Return the router of ``/domains``.

    Args:
        observe: what the answers say beside the configuration.
        of_states: which domains are in a state.
    """
    router = Router(tags=["domains"])
    add_list(router, observe, of_states)
    add_many(router, observe)
    add_single(router, observe)
    return router
