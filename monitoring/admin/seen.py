"""What was seen of domains: their present states, and how those changed."""

from typing import Any

from django.contrib import admin
from django.db.models import F, Q
from django.http import HttpRequest

from domains.admin import ReadOnlyAdmin
from domains.models import Domain
from monitoring.admin.filters import LocationOfRow, StateOfRow
from monitoring.by_state import AnyOf
from monitoring.models import DomainState, Transition


class _OfDomains(ReadOnlyAdmin):
    """Rows that belong to a domain each, searched by it."""

    ordering = ("-pk",)
    list_select_related = ("domain", "location")
    search_fields = ("domain__name",)
    search_help_text = "the number of a domain, or the whole of its name"

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Search by number and by name, as an index and one pass over the domains can."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(domain_id__in=Domain.objects.filter(name=term).values("pk"))
        if term.isascii() and term.isdigit() and len(term) < 19:
            wanted = Q(domain_id=int(term))
        return queryset.filter(wanted), False


@admin.register(DomainState)
class DomainStateAdmin(_OfDomains):
    """The present states of domains, by location."""

    list_display = ("domain", "location", "state", "since", "slot", "tls_expires_at", "slow")
    list_filter = (StateOfRow, LocationOfRow)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the states that count: not those of locations that a domain no longer has."""
        there = AnyOf(F("location__name"), F("domain__locations"))
        return super().get_queryset(request).filter(there)


class _NewState(StateOfRow):
    column = "to_state"


@admin.register(Transition)
class TransitionAdmin(_OfDomains):
    """The changes of states, newest first."""

    list_display = ("slot", "domain", "location", "from_state", "to_state", "reason", "detail")
    list_filter = (_NewState, LocationOfRow)
