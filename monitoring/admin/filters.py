"""Filters of the admin's lists whose choices are few, and known or bounded."""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.http import HttpRequest

from monitoring import by_state
from monitoring.models import Location
from monitoring.probes.states import State
from monitoring.verdict import WORST_FIRST

MOST_LOCATIONS: Final = 50
"""Locations that are offered; others can be written into the address."""


class StateOfDomain(admin.SimpleListFilter):
    """Domains by the state that the API shows: the worst over their locations."""

    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states, and that nothing was seen yet."""
        return [
            *((state.value, state.value) for state in WORST_FIRST),
            (by_state.UNKNOWN, "not seen yet"),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the domains of the chosen state."""
        value = self.value()
        return queryset if value is None else queryset.filter(by_state.of_states([value]))


class _ByLocation(admin.SimpleListFilter):
    title = parameter_name = "location"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the names of the first locations."""
        names = Location.objects.order_by("name").values_list("name", flat=True)
        return [(name, name) for name in names[:MOST_LOCATIONS]]

    def has_output(self) -> bool:
        """Show it where there is a choice, and heed it where one was made by hand."""
        return len(self.lookup_choices) > 1 or self.value() is not None


class LocationOfDomain(_ByLocation):
    """Domains that are checked from a location."""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep those that name it."""
        value = self.value()
        return queryset if value is None else queryset.filter(locations__contains=[value])


class LocationOfRow(_ByLocation):
    """Rows of a location."""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep those that belong to it."""
        value = self.value()
        if value is None:
            return queryset
        # By its number: the planner knows how many rows have that one.
        place = Location.objects.filter(name=value).values_list("pk", flat=True).first()
        return queryset.none() if place is None else queryset.filter(location_id=place)


class StateOfRow(admin.SimpleListFilter):
    """Rows of a state."""

    title = parameter_name = "state"
    column: ClassVar[str] = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states that a row can have."""
        return [(state.value, state.value) for state in State if state is not State.MISSED]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep those of the chosen state."""
        value = self.value()
        return queryset if value is None else queryset.filter(**{self.column: value})
