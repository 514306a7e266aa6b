"""What every operation of the API does beside its own work, from its own declaration.

An operation takes the parameters it declares and no others, each once unless it is a list; its
body is JSON; HEAD is answered wherever GET is. Ninja has no place for any of it: the operations
of routers, which know nothing of this room, become these when the API takes them in.
"""

import difflib
from collections.abc import Iterable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from ninja.errors import ValidationError
from ninja.operation import Operation, PathView
from ninja.params.models import BodyModel, QueryModel
from ninja.router import BoundRouter

from sentinel.bodies import refuse_media_type
from sentinel.throttling import over_quota

_LONGEST_NAME: Final = 100
"""Of a parameter that there is not, as it is repeated."""

UNKNOWN: Final = "unknown_parameter"
REPEATED: Final = "repeated_parameter"


class StrictOperation(Operation):
    """Refuses what the operation does not declare."""

    def _run_checks(self, request: HttpRequest) -> HttpResponse | None:
        refused = super()._run_checks(request)
        return over_quota(request) if refused is None else refused

    def _get_values(
        self, request: HttpRequest, path_params: Any, temporal_response: HttpResponse
    ) -> dict[str, Any]:
        if any(issubclass(model, BodyModel) for model in self.models):
            refuse_media_type(request)
        strange = list(self._strange_parameters(request))
        try:
            values = super()._get_values(request, path_params, temporal_response)
        except ValidationError as error:
            raise ValidationError([*strange, *error.errors]) from error
        if strange:
            raise ValidationError(strange)
        return values

    def _strange_parameters(self, request: HttpRequest) -> Iterable[dict[str, Any]]:
        """Yield an error, in Ninja's form, for each parameter that is unknown or repeated."""
        if not request.META.get("QUERY_STRING"):
            return
        names: list[str] = []
        lists: set[str] = set()
        for model in self.models:
            if issubclass(model, QueryModel):
                names += getattr(model, "__ninja_flatten_map__", {})
                lists |= set(getattr(model, "__ninja_collection_fields__", ()))
        for name, values in request.GET.lists():
            where = ("query", name[:_LONGEST_NAME])
            if name not in names:
                yield {"type": UNKNOWN, "loc": where, "msg": _cure(name, names)}
            elif len(values) > 1 and name not in lists:
                words = f"it was given {len(values)} times: give it once"
                yield {"type": REPEATED, "loc": where, "msg": words}


def _cure(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name[:_LONGEST_NAME].lower(), names, n=1, cutoff=0.6)
    if near:
        return f"there is no such parameter: did you mean {near[0]}?"
    if names:
        return f"there is no such parameter: this address takes {', '.join(sorted(names))}"
    return "there is no such parameter: this address takes none"


class StrictPath(PathView):
    """Answers HEAD as GET, whose body the server leaves out."""

    def _find_operation(self, request: HttpRequest) -> Operation | None:
        method = "GET" if request.method == "HEAD" else request.method
        return next((each for each in self.operations if method in each.methods), None)

    def _not_allowed(self) -> HttpResponse:
        methods = {method for each in self.operations for method in each.methods}
        if "GET" in methods:
            methods.add("HEAD")
        return HttpResponseNotAllowed(sorted(methods))


def make_strict(router: BoundRouter) -> None:
    """Make the operations of a router, as the API has bound it, the ones of this module."""
    for path in router.path_operations.values():
        if type(path) is PathView:
            path.__class__ = StrictPath
        for operation in path.operations:
            if type(operation) is Operation:
                operation.__class__ = StrictOperation
