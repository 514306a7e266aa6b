"""The shapes of requests about many domains, and of their answers. No I/O."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue, ValidationError, WrapValidator, model_validator

from domains.bulk import MOST, Reference, Refusal
from domains.conflicts import DomainNotFound, VersionMismatch
from domains.fields import ExternalId
from domains.named_errors import MOST_NAMED, counted
from domains.refusals import refusal
from domains.rules import FieldsRefused
from domains.schemas import DomainIn, DomainOut, DomainPatch, ErrorItem


def _or_refusal(value: Any, check: Callable[[Any], Any]) -> Any:
    """Validate one item; what is wrong with it becomes its result, and stops no other."""
    try:
        return check(value)
    except ValidationError as error:
        return refusal(value, error.errors(include_url=False))


Kept = WrapValidator(_or_refusal)
Number = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
_STRICT: Final = ConfigDict(extra="forbid", hide_input_in_errors=True)
_CALLED: Final[dict[str, JsonValue]] = {
    "external_id": "cmdb/4711",
    "name": "Example",
    "url": "https://example.org/",
}
_CHANGED: Final[dict[str, JsonValue]] = {
    "id": 17,
    "version": 3,
    "changes": {"interval": 300, "tags": ["shop"]},
}


def _bulk_of(example: JsonValue) -> ConfigDict:
    examples: list[JsonValue] = [{"items": [example], "dry_run": True}]
    return ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra={"examples": examples}
    )


DryRun = Annotated[
    bool,
    Field(
        strict=True,
        description="Whether to say what would become of each item, and change nothing.",
    ),
]


class DomainPut(DomainIn):
    """A whole domain by its external_id; fields left out take their defaults."""

    external_id: ExternalId
    model_config = ConfigDict(json_schema_extra={"examples": [_CALLED]})


class BulkCreate(Schema):
    """Domains to register."""

    model_config = _bulk_of(_CALLED)

    items: Annotated[list[Annotated[DomainIn, Kept]], Field(min_length=1, max_length=MOST)]
    dry_run: DryRun = False


class BulkPut(Schema):
    """Domains to register or replace."""

    model_config = _bulk_of(_CALLED)

    items: Annotated[list[Annotated[DomainPut, Kept]], Field(min_length=1, max_length=MOST)]
    dry_run: DryRun = False


class Named(Schema):
    """A domain by its `id` or its `external_id`; with `version` only while it is at that."""

    model_config = _STRICT

    id: Number | None = None
    external_id: ExternalId | None = None
    version: Annotated[
        int | None, Field(strict=True, ge=1, description="As If-Match: another one is a 412.")
    ] = None

    @model_validator(mode="after")
    def _one_name(self) -> "Named":
        if (self.id is None) == (self.external_id is None):
            raise ValueError("give either id or external_id")
        return self

    def reference(self) -> Reference:
        """Return it as services have it."""
        wanted = self.external_id if self.id is None else self.id
        assert wanted is not None
        return Reference(wanted, self.version)


class NamedChange(Named):
    """The fields to change of one domain; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CHANGED]})

    changes: DomainPatch


class BulkChange(Schema):
    """Changes of domains, each by its own item. A domain may be named once."""

    model_config = _bulk_of(_CHANGED)

    items: Annotated[list[Annotated[NamedChange, Kept]], Field(min_length=1, max_length=MOST)]
    dry_run: DryRun = False


class Selection(Schema):
    """Domains by `ids` or by `external_ids`. A domain may be named once."""

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra={"examples": [{"ids": [1, 2]}]}
    )

    ids: Annotated[list[Annotated[Number, Kept]] | None, Field(min_length=1, max_length=MOST)] = (
        None
    )
    external_ids: Annotated[
        list[Annotated[ExternalId, Kept]] | None, Field(min_length=1, max_length=MOST)
    ] = None
    dry_run: DryRun = False

    @model_validator(mode="after")
    def _one_list(self) -> "Selection":
        lists = [name for name in _LISTS if getattr(self, name, None) is not None]
        if len(lists) != 1:
            known = [name for name in _LISTS if name in type(self).model_fields]
            raise ValueError(f"give exactly one of {', '.join(known)}")
        return self

    def references(self) -> list[Reference | Refusal]:
        """Return the domains that are meant, in the order of the request."""
        names: list[Any] = [*(self.ids or ()), *(self.external_ids or ())]
        return [name if isinstance(name, Refusal) else Reference(name) for name in names]


_LISTS: Final = ("ids", "external_ids", "items")


class BulkSelection(Selection):
    """Domains by `ids`, by `external_ids`, or by `items` with a version. Each once."""

    items: Annotated[list[Annotated[Named, Kept]] | None, Field(min_length=1, max_length=MOST)] = (
        None
    )

    def references(self) -> list[Reference | Refusal]:
        """Return the domains that are meant, in the order of the request."""
        if self.items is None:
            return super().references()
        items: list[Any] = self.items
        return [item if isinstance(item, Refusal) else item.reference() for item in items]


class ItemProblem(Schema):
    """Why an item was refused: a problem (RFC 9457) whose pointers lead into the item."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ErrorItem] | None


class BulkResult(Schema):
    """What became of one item; `status` is what the request for it alone would answer."""

    index: int
    status: int
    id: int | None
    external_id: str | None
    domain: DomainOut | None
    problem: ItemProblem | None


class BulkOut(Schema):
    """What became of each item, in their order; of a dry run, what would.

    A new domain of a dry run has no id yet, and a deleted one is not shown.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dry_run": False,
                    "succeeded": 0,
                    "failed": 1,
                    "results": [
                        {
                            "index": 0,
                            "status": 422,
                            "id": None,
                            "external_id": None,
                            "domain": None,
                            "problem": {
                                "type": "/api/problems/validation",
                                "title": "Fields or parameters are not valid",
                                "status": 422,
                                "detail": "1 field is not valid",
                                "errors": [
                                    {
                                        "pointer": "#/interval",
                                        "detail": "it must be a multiple of 5 seconds, such as 60",
                                    }
                                ],
                            },
                        }
                    ],
                }
            ]
        }
    )

    dry_run: bool
    succeeded: int
    failed: int
    results: list[BulkResult]


_TITLES: Final = {
    "validation": "Fields or parameters are not valid",
    "not-found": "There is nothing here",
    "precondition-failed": "It was changed meanwhile",
    "conflict": "It conflicts with what is there",
}
"""A type of problem has one title, wherever it is met (RFC 9457, 3.1.3)."""


def problem_out(refused: Refusal) -> dict[str, Any]:
    """Return the fields of an ``ItemProblem``."""
    match refused:
        case FieldsRefused():
            named = refused.errors[:MOST_NAMED]
            errors = [{"pointer": where, "detail": words} for where, words in named]
            return _problem("validation", 422, counted(len(refused.errors)), errors)
        case DomainNotFound():
            return _problem("not-found", 404, str(refused))
        case VersionMismatch():
            return _problem("precondition-failed", 412, str(refused))
    return _problem("conflict", 409, str(refused))


def _problem(
    name: str, status: int, detail: str, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    return {
        "type": f"/api/problems/{name}",
        "title": _TITLES[name],
        "status": status,
        "detail": detail,
        "errors": errors,
    }
