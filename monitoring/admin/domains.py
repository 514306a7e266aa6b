"""The pages of domains, with what was seen of them, and a check at once."""

from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from domains.admin import DomainAdmin
from domains.clock import database_now
from domains.models import Domain
from domains.paging import BadCursor
from monitoring import dispatch, history, pages, tasks
from monitoring.admin.filters import LocationOfDomain, StateOfDomain
from monitoring.models import Transition

RESULTS_SHOWN: Final = 100
TRANSITIONS_SHOWN: Final = 20


def _milliseconds(duration_us: int | None) -> str:
    # With its unit beside it: the headings of the pages are capitals, where that of µs reads MS.
    return "" if duration_us is None else f"{duration_us / 1000:.1f} ms"


class _SeenList(ChangeList):
    """A page of domains, with what is known of them in two queries."""

    def get_results(self, request: HttpRequest) -> None:
        """Take the page, and what was seen of its domains."""
        super().get_results(request)
        page = list(self.result_list)
        known = history.present([domain.pk for domain in page])
        for domain in page:
            domain.seen = known.get(domain.pk)
        self.result_list = page


@admin.register(Domain)
class WatchedDomainAdmin(DomainAdmin):
    """Domains as people write them and as they were seen."""

    list_display: Any = (
        *("name", "state", "last_result", "address", "every", "places", "group", "labels"),
        "enabled",
    )
    list_filter: ClassVar[Any] = (StateOfDomain, "enabled", LocationOfDomain)
    actions: Any = ("pause", "resume", "check_now")

    @admin.display(description="state")
    def state(self, domain: Any) -> str:
        """Return the worst state over the locations."""
        return "-" if domain.seen is None or domain.seen.state is None else domain.seen.state.value

    @admin.display(description="last result")
    def last_result(self, domain: Any) -> str:
        """Return when the newest result was due, and what it says, with a link to the others."""
        newest = None if domain.seen is None else domain.seen.last_result
        if newest is None:
            return "-"
        took = "" if newest.total_us is None else f", {_milliseconds(newest.total_us)}"
        return format_html(
            '<span class="nowrap"><a href="{}">{}</a> {}{}</span>',
            reverse("admin:domains_domain_results", args=[domain.pk]),
            f"{newest.slot:%Y-%m-%d %H:%M:%S}",
            newest.reason or newest.state,
            took,
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that knows what was seen."""
        return _SeenList

    def get_urls(self) -> Any:
        """Return the pages of domains, and that of one domain's results."""
        results = path(
            "<int:domain_id>/results/",
            self.admin_site.admin_view(self.results_view),
            name="domains_domain_results",
        )
        return [results, *super().get_urls()]

    def results_view(self, request: HttpRequest, domain_id: int) -> HttpResponse:
        """Show a page of a domain's results, newest first, and its last transitions."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        domain = Domain.objects.filter(pk=domain_id).first() if domain_id < 2**63 else None
        if domain is None:
            raise Http404
        wanted = pages.Wanted(domain_id=domain_id)
        try:
            page = pages.page(wanted, cursor=request.GET.get("cursor"), limit=RESULTS_SHOWN)
        except BadCursor:
            raise Http404 from None
        transitions = (
            Transition.objects.filter(domain_id=domain_id)
            .select_related("location")
            .order_by("-slot", "-location_id")[:TRANSITIONS_SHOWN]
        )
        context = {
            **self.admin_site.each_context(request),
            "title": f"Results of {domain.name}",
            "opts": self.opts,
            "domain": domain,
            "seen": history.present([domain_id]).get(domain_id),
            "results": [
                {**item, "took": _milliseconds(item["total_us"])}
                for item in pages.as_items(wanted, page.rows)
            ],
            "after": page.after,
            "transitions": transitions,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/domains/domain/results.html", context)

    @admin.action(description="Check now", permissions=["change"])
    def check_now(self, request: HttpRequest, queryset: Any) -> None:
        """Ask for a check of the chosen domains ahead of the queue."""
        domains = list(queryset.order_by("pk"))
        with transaction.atomic():
            run_id = dispatch.request_checks(domains, now=database_now())
            transaction.on_commit(lambda: tasks.publish_run(run_id), robust=True)
        self.message_user(request, f"Asked for checks of {len(domains)}.", messages.SUCCESS)
