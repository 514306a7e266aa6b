"""Lists of the admin that stay quick however many rows there are, and what is only looked at."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from domains.audit import Actor

MOST_LISTED: Final = 5_000
"""Rows of one list that can be paged through: who looks for others has search and filters."""

MOST_AT_ONCE: Final = 1_000
"""Rows that one action may take: a request is not to last for minutes."""

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _Admin, _Paginator = admin.ModelAdmin, Paginator


def acting(request: HttpRequest) -> Actor:
    """Return who acts by a request of the admin's."""
    user = request.user
    return Actor("user", user.pk, user.get_username(), str(getattr(request, "id", "")))


class BoundedPaginator(_Paginator):
    """Counts up to ``MOST_LISTED`` rows and no further."""

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through."""
        return min(self._counted, MOST_LISTED)

    @property
    def has_more(self) -> bool:
        """Whether there are rows beyond those."""
        return self._counted > MOST_LISTED

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        return rows.order_by().values("pk")[: MOST_LISTED + 1].count()


class BoundedAdmin(_Admin):
    """A model's pages whose cost does not grow with its table, and which leave no log of Django's.

    Who changed what is in the audit (``domains.audit``), written where the change is made.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_max_show_all = 0
    sortable_by: ClassVar[Any] = ()
    audited_as: ClassVar[str | None] = None
    """The ``object_kind`` of its rows in the audit."""

    lookups: ClassVar[tuple[str, ...]] = ()
    """What links of ours narrow its list by, beside its filters."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Return whether an address may narrow the list so: by what is offered, and no other.

        Django lets any column be compared in any way: a digest or a password could be guessed
        letter by letter, and a pattern that is none fails in the database.
        """
        filters = self.list_filter if request is None else self.get_list_filter(request)
        offered = {*self.lookups}
        for each in filters:
            if isinstance(each, type) and issubclass(each, admin.SimpleListFilter):
                offered.add(str(each.parameter_name))
            else:
                offered |= {f"{each}__exact", f"{each}__isnull"}
        return lookup in offered

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave it to the audit."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave it to the audit."""

    def log_deletion(self, request: HttpRequest, obj: Any, object_repr: str) -> Any:
        """Leave it to the audit."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Leave it to the audit."""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Render the page of a row, with a way to its history for who may go it."""
        context["has_history"] = self._has_history(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def _has_history(self, request: HttpRequest) -> bool:
        return self.audited_as is not None and request.user.has_perm("domains.view_auditentry")

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Lead to what the audit has of the row."""
        if not self._has_history(request):
            raise PermissionDenied
        entries = reverse("admin:domains_auditentry_changelist")
        query = f"object_kind__exact={self.audited_as}&object_id__exact={object_id}"
        return HttpResponseRedirect(f"{entries}?{query}")

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:  # type: ignore[override] # as Django has it
        """Refuse to act on more rows than a request can bear, and on what names no row."""
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(chosen)
            except ValidationError:
                raise DisallowedModelAdminLookup(
                    f"{chosen[:20]!r} is no row of this list"
                ) from None
        across = request.POST.get("select_across") == "1"
        if across and queryset.order_by().values("pk")[: MOST_AT_ONCE + 1].count() > MOST_AT_ONCE:
            words = f"At most {MOST_AT_ONCE} at once: narrow the list by search or filter."
            self.message_user(request, words, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)


class ReadOnlyAdmin(BoundedAdmin):
    """Pages of what others write: nothing is added, changed or deleted by them."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False
