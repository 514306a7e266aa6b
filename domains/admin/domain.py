"""The pages of domains, as far as people write them."""

from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest

from domains import bulk, services
from domains.admin.base import BoundedAdmin, acting
from domains.admin.form import DomainForm
from domains.audit import Actor
from domains.clock import database_now
from domains.models import Domain
from domains.request import MASK


class DomainAdmin(BoundedAdmin):
    """Domains: listed, searched, paused, and changed through ``domains.services``."""

    audited_as = "domain"
    form = DomainForm
    ordering = ("pk",)
    list_display: Any = ("name", "address", "every", "places", "group", "labels", "enabled")
    list_filter: ClassVar[Any] = ("enabled",)
    sortable_by = ("name", "every", "enabled")
    search_fields = ("name", "url")
    search_help_text = (
        "a part of the name or the URL, or the whole of a tag, a group, an external id or the "
        "number of a domain"
    )
    actions: Any = ("pause", "resume")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("name", "url", "enabled", "external_id", "group", "tags")}),
        ("When and where", {"fields": ("interval", "timeout", "locations")}),
        (
            "What is sent",
            {
                "fields": (
                    *("method", "headers", "body", "body_is_json"),
                    *("auth_type", "auth_username", "secret"),
                    *("http2", "ip_version", "follow_redirects", "verify_tls"),
                )
            },
        ),
        ("What is expected", {"fields": ("expected_status", "degraded_after", "assertions")}),
    )

    @admin.display(description="URL")
    def address(self, domain: Domain) -> str:
        """Return the URL, cut where it would widen the list."""
        return domain.url if len(domain.url) <= 60 else f"{domain.url[:59]}…"

    @admin.display(description="interval", ordering="interval")
    def every(self, domain: Domain) -> str:
        """Return the interval with its unit."""
        return f"{domain.interval} s"

    @admin.display(description="locations")
    def places(self, domain: Domain) -> str:
        """Return the locations in a row."""
        return ", ".join(domain.locations)

    @admin.display(description="tags")
    def labels(self, domain: Domain) -> str:
        """Return the tags in a row."""
        return ", ".join(domain.tags)

    @admin.display(description="password or token")
    def secret(self, domain: Domain) -> str:
        """Return the mask, where one is stored."""
        return "-" if domain.auth_type is None else MASK

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, which knows who writes."""
        form = cast("type[DomainForm]", super().get_form(request, obj, change, **kwargs))
        form.actor = acting(request)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Leave it to the form, which wrote it."""

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Search for each word, and for all of them as one tag, group or external id."""
        words, whole = search_term.split(), search_term.strip()
        if not words:
            return queryset, False
        each = Q()
        for word in words:
            wanted = Q(name__icontains=word) | Q(url__icontains=word) | _is_of(word)
            if word.isascii() and word.isdigit() and len(word) < 19:
                wanted |= Q(pk=int(word))
            each &= wanted
        return queryset.filter(each | _is_of(whole) if len(words) > 1 else each), False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the domains alone: what goes along may be a million transitions."""
        names = [str(domain) for domain in objs]
        return names, {"domains": len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Domain) -> None:
        """Delete one."""
        services.delete_domain(obj.pk, by=acting(request), now=database_now())

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Delete several."""
        chosen = [bulk.Reference(domain_id) for domain_id in queryset.values_list("pk", flat=True)]
        bulk.delete_domains(chosen, by=acting(request), now=database_now(), dry_run=False)

    @admin.action(description="Pause: check them no more", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: Any) -> None:
        """Stop checking the chosen domains."""
        count = _enable(queryset, enabled=False, by=acting(request))
        self.message_user(request, f"Paused {count}.", messages.SUCCESS)

    @admin.action(description="Resume: check them again", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: Any) -> None:
        """Check the chosen domains again."""
        count = _enable(queryset, enabled=True, by=acting(request))
        self.message_user(request, f"Resumed {count}.", messages.SUCCESS)


def _enable(queryset: Any, *, enabled: bool, by: Actor) -> int:
    """Pause or resume domains; return how many were not so already."""
    chosen = queryset.exclude(enabled=enabled).values_list("pk", flat=True)
    changes = [(bulk.Reference(domain_id), {"enabled": enabled}) for domain_id in chosen]
    results = bulk.change_domains(changes, by=by, now=database_now(), dry_run=False)
    return sum(isinstance(result, bulk.Done) for result in results)


def _is_of(text: str) -> Q:
    """Return the condition for domains that have this tag, are of this group or called so."""
    return Q(tags__contains=[text]) | Q(group=text) | Q(external_id=text)
