"""The audit, to be read."""

from typing import Any, Final

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html

from domains.admin.base import ReadOnlyAdmin
from domains.audit import ACTOR_KINDS, AuditEntry

_NAMES_SHOWN: Final = 4
_OBJECT_KINDS: Final = ("domain", "key", "user")

# Said here and not in the model: words of the pages are not worth a migration.
AuditEntry._meta.verbose_name_plural = "audit entries"


class _Words(admin.SimpleListFilter):
    """A column filtered by words that are known, so that none have to be looked up."""

    words: tuple[str, ...]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the words."""
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Narrow the list."""
        value = self.value()
        return queryset if value is None else queryset.filter(**{str(self.parameter_name): value})


class _ObjectKind(_Words):
    title, parameter_name, words = "object", "object_kind__exact", _OBJECT_KINDS


class _ActorKind(_Words):
    title, parameter_name, words = "actor", "actor_kind__exact", ACTOR_KINDS


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Who changed what, and when."""

    ordering = ("-pk",)
    list_display = ("at", "who", "action", "what", "changed")
    list_filter = (_ObjectKind, _ActorKind)
    lookups = ("object_id__exact",)
    search_fields = ("actor_name",)
    search_help_text = (
        "the number of an object, or the whole of an actor's name, an action or a request's id"
    )

    @admin.display(description="actor")
    def who(self, entry: AuditEntry) -> str:
        """Return the kind and the name of who did it."""
        return f"{entry.actor_kind} {entry.actor_name}"

    @admin.display(description="object")
    def what(self, entry: AuditEntry) -> str:
        """Return the kind and the number of what it was done to."""
        return f"{entry.object_kind} {entry.object_id}"

    @admin.display(description="fields")
    def changed(self, entry: AuditEntry) -> str:
        """Return the names of the fields that changed, as many as make no tall row."""
        names = list(entry.after or entry.before or {})
        more = len(names) - _NAMES_SHOWN
        words = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return format_html('<span class="nowrap">{}</span>', words)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Search by what the entry says of whom and what, as it stands there."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isascii() and term.isdigit() and len(term) < 19:
            # By itself, and with the kinds that there are: so an index finds it.
            wanted = Q(object_kind__in=_OBJECT_KINDS, object_id=int(term))
        else:
            wanted = Q(actor_name=term) | Q(action=term) | Q(request_id=term)
        return queryset.filter(wanted), False
