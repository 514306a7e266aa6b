"""What has been seen of domains, for the answers of ``/domains``."""

from collections.abc import Mapping, Sequence

from domains.observations import CertificateOut, LastResult, Observation
from monitoring import history


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
