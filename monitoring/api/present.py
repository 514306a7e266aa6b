"""What has been seen of domains, for the answers of ``/domains`` and for its filter."""

from collections.abc import Mapping, Sequence

from django.db.models import Q

from domains.observations import CertificateOut, LastResult, Observation
from monitoring import history
from monitoring.models import DomainState
from monitoring.verdict import WORST_FIRST


def of_states(states: Sequence[str]) -> Q:
    """Return the condition for domains whose worst state is one of these.

    Args:
        states: of ``WORST_FIRST``, and "unknown" for what has no state yet.
    """
    wanted = Q(pk__in=[])
    for rank, state in enumerate(WORST_FIRST):
        if state.value in states:
            worse = [each.value for each in WORST_FIRST[:rank]]
            wanted |= _seen([state.value]) & (~_seen(worse) if worse else Q())
    if "unknown" in states:
        wanted |= ~Q(pk__in=DomainState.objects.values("domain_id"))
    return wanted


def _seen(states: Sequence[str]) -> Q:
    return Q(pk__in=DomainState.objects.filter(state__in=states).values("domain_id"))


def observe(domain_ids: Sequence[int]) -> Mapping[int, Observation]:
    """Return what has been seen of domains, for the answers of ``/domains``."""
    return {
        domain_id: Observation(
            state=known.state.value if known.state else None,  # type: ignore[arg-type] # a State but never missed
            since=known.since,
            last_result=LastResult(
                location=known.last_result.location.name,
                **{
                    name: getattr(known.last_result, name)
                    for name in LastResult.model_fields
                    if name != "location"
                },
            )
            if known.last_result
            else None,
            tls_expires_at=known.tls_expires_at,
            certificate=CertificateOut(**known.certificate) if known.certificate else None,
        )
        for domain_id, known in history.present(domain_ids).items()
    }
