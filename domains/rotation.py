"""Encrypting what is stored anew with the first key, so that an older one can go."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from django.db import transaction
from django.db.models import Q

from domains.models import Domain
from domains.secrets import Undecipherable, is_current, seal, unseal

BATCH_SIZE: Final = 100

_HAS_SECRETS: Final = (
    ~Q(sealed_headers=[]) | Q(sealed_body__isnull=False) | Q(sealed_credential__isnull=False)
)


@dataclass(slots=True)
class Rotation:
    """What a rotation did, or one batch of it.

    Attributes:
        renewed: secrets that are now encrypted with the first key.
        current: secrets that were already.
        lost: secrets that no key opens, left as they are: the domain's id, and which of its
            fields it is, in words.
    """

    renewed: int = 0
    current: int = 0
    lost: list[tuple[int, str]] = field(default_factory=list)


def rotate() -> Rotation:
    """Encrypt every secret that the first key does not open with the first key.

    In batches of their own transactions, whose rows are locked against changes by people;
    checks go on. It may be stopped and run again, and two may run at once.
    """
    done = Rotation()
    last = 0
    while (found := _rotate_batch(last, done)) is not None:
        last = found
    return done


def _rotate_batch(after: int, done: Rotation) -> int | None:
    """Rotate the domains next after an id; return the last one's, None where there are none."""
    part = Rotation()
    with transaction.atomic():
        # In order of id, so that two rotations wait for each other instead of dead-locking.
        domains = list(
            Domain.objects.select_for_update(no_key=True)
            .filter(_HAS_SECRETS, pk__gt=after)
            .order_by("pk")[:BATCH_SIZE]
        )
        for domain in domains:
            changed = set(_rotate_domain(domain, part))
            if changed:
                domain.save(update_fields=changed)
    # Only what was committed is counted.
    done.renewed += part.renewed
    done.current += part.current
    done.lost += part.lost
    return domains[-1].pk if domains else None


def _rotate_domain(domain: Domain, part: Rotation) -> Iterator[str]:
    """Rotate one domain's secrets in memory; yield the names of the columns that changed."""

    def renewed(sealed: str, where: str) -> str:
        if is_current(sealed):
            part.current += 1
            return sealed
        try:
            fresh = seal(unseal(sealed))
        except Undecipherable:
            part.lost.append((domain.pk, where))
            return sealed
        part.renewed += 1
        return fresh

    headers = [[name, renewed(sealed, f"header {name}")] for name, sealed in domain.sealed_headers]
    if headers != domain.sealed_headers:
        domain.sealed_headers = headers
        yield "sealed_headers"
    for column, where in (("sealed_body", "body"), ("sealed_credential", "auth")):
        sealed = getattr(domain, column)
        if sealed is not None and (fresh := renewed(sealed, where)) != sealed:
            setattr(domain, column, fresh)
            yield column
