"""What people do to one domain. ``domains.bulk`` does the same to many."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from domains.audit import Actor
from domains.conflicts import DomainNotFound
from domains.models import Domain
from domains.preconditions import ANY, Precondition
from domains.writing import Writing


def create_domain(fields: Mapping[str, Any], *, by: Actor, now: datetime) -> Domain:
    """Register a domain, due from the next tick on; ``fields`` are valid each by itself.

    Raises:
        FieldsRefused: they do not go together.
        ExternalIdTaken: another has its external_id.
    """
    with transaction.atomic():
        writing = Writing(by=by, now=now)
        writing.names([fields.get("external_id")])
        domain = writing.create(fields)
        writing.save()
    return domain


def get_domain(wanted: int | str) -> Domain:
    """Return the domain of an id or, where it is a text, of an external_id.

    Raises:
        DomainNotFound: there is none.
    """
    found = Domain.objects.filter(pk=wanted) if isinstance(wanted, int) else None
    domain = (found if found is not None else Domain.objects.filter(external_id=wanted)).first()
    if domain is None:
        raise DomainNotFound(wanted)
    return domain


def change_domain(
    domain_id: int,
    fields: Mapping[str, Any],
    *,
    by: Actor,
    now: datetime,
    only: Precondition = ANY,
) -> Domain:
    """Change the given fields and no others; ``fields`` are valid each by itself.

    Raises:
        DomainNotFound: there is none.
        VersionMismatch: it is not as ``only`` says.
        FieldsRefused: they do not go together, or not with what is stored.
        ExternalIdTaken: another has its external_id.
    """
    with transaction.atomic():
        writing = Writing(by=by, now=now)
        writing.names([fields.get("external_id")])
        domain = _locked(writing, domain_id)
        only.check(domain)
        if writing.change(domain, fields):
            writing.save()
    return domain


def put_domain(
    external_id: str,
    fields: Mapping[str, Any],
    *,
    by: Actor,
    now: datetime,
    only: Precondition = ANY,
) -> tuple[Domain, bool]:
    """Make the domain of an external_id be as ``fields`` say, which are all there are.

    Returns:
        The domain, and whether it was registered by this.

    Raises:
        VersionMismatch: it is not as ``only`` says.
        FieldsRefused: the fields do not go together, or not with what is stored.
    """
    fields = {**fields, "external_id": external_id}
    with transaction.atomic():
        writing = Writing(by=by, now=now)
        found = writing.lock((), [external_id])
        if not found:
            writing.names([external_id])
            found = writing.lock((), [external_id])  # another may have been first
        only.check(found[0] if found else None)
        domain = found[0] if found else writing.create(fields)
        if not found or writing.change(domain, fields):
            writing.save()
    return domain, not found


def delete_domain(domain_id: int, *, by: Actor, now: datetime, only: Precondition = ANY) -> None:
    """Delete a domain and its present state; what was due before stays due.

    Raises:
        DomainNotFound: there is none.
        VersionMismatch: it is not as ``only`` says.
    """
    with transaction.atomic():
        writing = Writing(by=by, now=now)
        domain = _locked(writing, domain_id, to_delete=True)
        only.check(domain)
        writing.delete(domain)
        writing.save()


def _locked(writing: Writing, domain_id: int, *, to_delete: bool = False) -> Domain:
    found = writing.lock([domain_id], to_delete=to_delete)
    if not found:
        raise DomainNotFound(domain_id)
    return found[0]
