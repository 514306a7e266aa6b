"""What people do to many domains: as one by one, in one transaction and as few statements.

What one item is refused for stops no other: its result is the exception that it would have
raised alone. Only where a request names a domain twice it differs: the second is refused.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from django.db import transaction
from django.db.models import Q

from domains.audit import Actor
from domains.conflicts import Conflict, DomainNotFound, NamedTwice, VersionMismatch
from domains.models import Domain
from domains.rules import FieldsRefused
from domains.writing import Writing

MOST: Final = 1000
"""Items of one request."""

Refusal = FieldsRefused | DomainNotFound | Conflict | VersionMismatch
_REFUSALS: Final = (FieldsRefused, DomainNotFound, Conflict, VersionMismatch)
Fields = Mapping[str, Any]
_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True)
class Reference:
    """A domain by its id or its external_id; with ``version`` only while it is at that."""

    wanted: int | str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """An item that was carried out; of a dry run, how the domain would be."""

    verb: Literal["created", "changed", "deleted"]
    domain: Domain


Result = Done | Refusal


def create_domains(
    items: Sequence[Fields | Refusal], *, by: Actor, now: datetime, dry_run: bool
) -> list[Result]:
    """Register domains; each result is at its item's place, and so is what was refused before."""
    with _writing(by, now, dry_run=dry_run) as writing:
        writing.names(item.get("external_id") for item in valid(items))
        return each(items, lambda _, fields: Done("created", writing.create(fields)))


def put_domains(
    items: Sequence[Fields | Refusal], *, by: Actor, now: datetime, dry_run: bool
) -> list[Result]:
    """Make the domains of external_ids be as the items say, which have all fields."""
    with _writing(by, now, dry_run=dry_run) as writing:
        named = [item["external_id"] for item in valid(items)]
        writing.names(named)
        find = Finder(writing.lock((), named))

        def put(index: int, fields: Fields) -> Done:
            domain = find.maybe(index, Reference(fields["external_id"]))
            if domain is None:
                return Done("created", writing.create(fields))
            writing.change(domain, fields)
            return Done("changed", domain)

        return each(items, put)


def change_domains(
    items: Sequence[tuple[Reference, Fields] | Refusal],
    *,
    by: Actor,
    now: datetime,
    dry_run: bool,
) -> list[Result]:
    """Change of each domain the fields that its item has."""
    with _writing(by, now, dry_run=dry_run) as writing:
        changes = list(valid(items))
        writing.names(fields.get("external_id") for _, fields in changes)
        find = Finder(writing.lock(*keys(reference for reference, _ in changes)))

        def change(index: int, item: tuple[Reference, Fields]) -> Done:
            domain = find(index, item[0])
            writing.change(domain, item[1])
            return Done("changed", domain)

        return each(items, change)


def delete_domains(
    items: Sequence[Reference | Refusal], *, by: Actor, now: datetime, dry_run: bool
) -> list[Result]:
    """Delete domains; what was due before stays due."""
    with _writing(by, now, dry_run=dry_run) as writing:
        find = Finder(writing.lock(*keys(valid(items)), to_delete=True))

        def delete(index: int, reference: Reference) -> Done:
            domain = find(index, reference)
            writing.delete(domain)
            return Done("deleted", domain)

        return each(items, delete)


def find_domains(references: Iterable[Reference]) -> list[Domain]:
    """Return those domains that there are, for whoever does not change them."""
    ids, external_ids = keys(references)
    return list(Domain.objects.filter(Q(pk__in=ids) | Q(external_id__in=external_ids)))


class Finder:
    """Finds the domain that an item means, once each."""

    def __init__(self, domains: Iterable[Domain]) -> None:
        self._found: dict[int | str, Domain] = {}
        self._first: dict[int | str, int] = {}
        for domain in domains:
            self._found[domain.pk] = domain
            if domain.external_id is not None:
                self._found[domain.external_id] = domain

    def maybe(self, index: int, reference: Reference) -> Domain | None:
        """Return the domain that the item of an index means, None where there is none.

        Raises:
            NamedTwice: an earlier item means it.
            VersionMismatch: it is at another version.
        """
        domain = self._found.get(reference.wanted)
        first = self._first.setdefault(reference.wanted if domain is None else domain.pk, index)
        if first != index:
            raise NamedTwice(first)
        if domain and reference.version not in (None, domain.version):
            raise VersionMismatch(
                f"the domain is at version {domain.version}, not {reference.version}: read it "
                "again, and decide anew"
            )
        return domain

    def __call__(self, index: int, reference: Reference) -> Domain:
        """Return the domain that the item of an index means.

        Raises:
            DomainNotFound: there is none.
            NamedTwice: an earlier item means it.
            VersionMismatch: it is at another version.
        """
        domain = self.maybe(index, reference)
        if domain is None:
            raise DomainNotFound(reference.wanted)
        return domain


def keys(references: Iterable[Reference]) -> tuple[Collection[int], Collection[str]]:
    """Return the ids and the external_ids that are asked for."""
    wanted = {reference.wanted for reference in references}
    return (
        [key for key in wanted if isinstance(key, int)],
        [key for key in wanted if isinstance(key, str)],
    )


def each(
    items: Sequence[_Item | Refusal], act: Callable[[int, _Item], _Done]
) -> list[_Done | Refusal]:
    """Return what became of each item, by its index and itself: done, or why it was refused."""
    results: list[_Done | Refusal] = []
    for index, item in enumerate(items):
        if isinstance(item, Refusal):
            results.append(item)
            continue
        try:
            results.append(act(index, item))
        except _REFUSALS as refusal:
            results.append(refusal)
    return results


def valid(items: Iterable[_Item | Refusal]) -> Iterator[_Item]:
    """Return the items that are not refused yet."""
    return (item for item in items if not isinstance(item, Refusal))


@contextmanager
def _writing(by: Actor, now: datetime, *, dry_run: bool) -> Iterator[Writing]:
    """Give what collects the changes; a dry run ends without writing any."""
    with transaction.atomic():
        writing = Writing(by=by, now=now, dry_run=dry_run)
        yield writing
        writing.save()
