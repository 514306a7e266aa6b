"""Scopes hold one another: what needs little is open to who may much."""

import pytest

from sentinel.access.scopes import SCOPES, Scope, allows, in_order, needed_by


@pytest.mark.parametrize(
    ("held", "allowed"),
    [
        (["read"], {Scope.READ}),
        (["write"], {Scope.READ, Scope.WRITE}),
        (["admin"], set(Scope)),
        (["read", "write"], {Scope.READ, Scope.WRITE}),
        (["read", "admin"], set(Scope)),
        ([], set()),
        (["root", "ADMIN", ""], set()),
    ],
)
def test_a_scope_holds_the_ones_before_it(held: list[str], allowed: set[Scope]) -> None:
    assert {scope for scope in Scope if allows(held, scope)} == allowed


@pytest.mark.parametrize(
    ("method", "scope"),
    [
        *((method, Scope.READ) for method in ("GET", "HEAD", "OPTIONS")),
        *((method, Scope.WRITE) for method in ("POST", "PUT", "PATCH", "DELETE", "BREW", "get")),
    ],
)
def test_what_is_not_known_to_be_safe_needs_write(method: str, scope: Scope) -> None:
    assert needed_by(method) is scope


def test_scopes_are_kept_from_the_least_to_the_most() -> None:
    assert SCOPES == ("read", "write", "admin")
    assert in_order(["admin", "read", "admin"]) == ["read", "admin"]
