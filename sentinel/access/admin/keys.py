"""The pages of API keys: made, rotated and revoked as the API does it."""

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from pydantic import ValidationError

from domains.admin import BoundedAdmin, acting
from domains.audit import Actor
from domains.clock import database_now
from domains.rules import FieldsRefused
from sentinel.access import services
from sentinel.access.conflicts import KeyConflict, KeyEnded, NameTaken
from sentinel.access.models import ApiKey
from sentinel.access.schemas import (
    DEFAULT_OVERLAP_SECONDS,
    MAX_OVERLAP_SECONDS,
    KeyIn,
    KeyPatch,
)
from sentinel.access.scopes import SCOPES

# Said here and not in the model: words of the pages are not worth a migration.
ApiKey._meta.verbose_name = "API key"
ApiKey._meta.verbose_name_plural = "API keys"


class KeyForm(forms.ModelForm):  # type: ignore[type-arg] # generic for the checker alone
    """A key: name, scope, end. Validating it writes it, through ``sentinel.access.services``."""

    actor: ClassVar[Actor]
    """Who writes; set on the class that is made for a request."""

    text: str | None = None
    """The key itself, where one was made: to be shown once."""

    name = forms.CharField(max_length=100)
    scopes = forms.ChoiceField(
        label="Scope",
        choices=[(scope, scope) for scope in SCOPES],
        help_text="write holds read, and admin holds both.",
    )
    expires_at = forms.DateTimeField(
        required=False,
        help_text="In UTC, such as 2027-11-23 12:00; empty: never.",
        widget=forms.DateTimeInput(attrs={"size": 25}),
    )

    class Meta:
        """All inputs are declared here."""

        model = ApiKey
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        key = kwargs.get("instance")
        if key is not None:
            widest = next(scope for scope in reversed(SCOPES) if scope in key.scopes)
            kwargs["initial"] = {
                "name": key.name,
                "scopes": widest,
                "expires_at": key.expires_at,
            }
        super().__init__(*args, **kwargs)
        if key is not None:
            # What counts as changed is what the person changed: not what another did meanwhile.
            for field in self.fields.values():
                field.show_hidden_initial = True

    def save(self, commit: bool = True) -> Any:
        """Return the key, which was written when found valid."""
        return super().save(commit=False)

    def _post_clean(self) -> None:
        if self.errors:
            return
        given = self.cleaned_data | {"scopes": [self.cleaned_data["scopes"]]}
        now = database_now()
        try:
            if self.instance.pk is None:
                fields = KeyIn.model_validate(given).model_dump()
                self.instance, self.text = services.create_key(**fields, by=self.actor, now=now)
            else:
                changed = {name: given[name] for name in self.changed_data}
                patch = KeyPatch.model_validate(changed).model_dump(exclude_unset=True)
                self.instance = services.change_key(self.instance.pk, patch, by=self.actor, now=now)
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                self._refuse(str(item["loc"][0]), item["msg"].removeprefix("Value error, "))
        except FieldsRefused as error:
            for pointer, words in error.errors:
                self._refuse(pointer.removeprefix("#/"), words)
        except NameTaken as error:
            self._refuse("name", str(error))
        except KeyConflict as error:
            self._refuse("", str(error))

    def _refuse(self, name: str, words: str) -> None:
        self.add_error(name if name in self.fields else None, words)


class RotationForm(forms.Form):
    """How long the key that was goes on beside the new one."""

    overlap = forms.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        initial=DEFAULT_OVERLAP_SECONDS,
        help_text="Seconds for which the present key opens the API beside the new one.",
    )


@admin.register(ApiKey)
class KeyAdmin(BoundedAdmin):
    """API keys. What opens the API is shown once, where it was made, and never stored."""

    audited_as = "key"
    form = KeyForm
    ordering = ("-pk",)
    list_display = (
        "name",
        "prefix",
        "held",
        "state",
        "created_at",
        "expires_at",
        "last_used_at",
    )
    search_fields = ("name", "prefix")
    actions = None
    fieldsets: ClassVar[Any] = ((None, {"fields": ("name", "scopes", "expires_at")}),)
    seen: ClassVar[tuple[str, ...]] = (
        *("prefix", "state", "created_at", "rotated_at", "revoked_at", "last_used_at"),
        "replaces",
    )

    @admin.display(description="scopes")
    def held(self, key: ApiKey) -> str:
        """Return what it may do."""
        return ", ".join(key.scopes)

    @admin.display(description="state")
    def state(self, key: Any) -> str:
        """Return whether it opens the API, by the clock of the page's request."""
        return str(key.state(now=key.read_at))

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return keys with the instant at which they are read."""
        return super().get_queryset(request).annotate(read_at=Now())

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the inputs, and what is known of a key that is there."""
        return self.fieldsets if obj is None else (*self.fieldsets, (None, {"fields": self.seen}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what nobody writes by hand."""
        return () if obj is None else self.seen

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, which knows who writes."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.actor = acting(request)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Leave it to the form, which wrote it; keep the key itself for the page that shows it."""
        if not change:
            obj.text = form.text

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Show the key, once."""
        return self._made(request, obj, obj.text)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """Show a key, or change it; say of a revoked one, whose page was open, that it was."""
        if request.method == "POST" and self.has_change_permission(request):
            key = self.get_object(request, unquote(object_id))
            if key is not None and not self.has_change_permission(request, key):
                error = KeyEnded.revoked(key)
                return self._refused(request, key.pk, error)
        return super().change_view(request, object_id, form_url, extra_context)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether keys may be changed; one that was revoked is only looked at."""
        revoked = obj is not None and obj.revoked_at is not None
        return super().has_change_permission(request, obj) and not revoked

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no: keys are revoked, and their rows stay."""
        return False

    def get_urls(self) -> Any:
        """Return the pages of keys, and those that rotate and revoke one."""
        ways = [
            path(
                f"<int:key_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"access_apikey_{name}",
            )
            for name, view in (("rotate", self.rotate_view), ("revoke", self.revoke_view))
        ]
        return [*ways, *super().get_urls()]

    def rotate_view(self, request: HttpRequest, key_id: int) -> HttpResponse:
        """Ask for how long the present key goes on, then make the next and show it."""
        key = self._key(request, key_id)
        form = RotationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            overlap = timedelta(seconds=form.cleaned_data["overlap"])
            try:
                _, new, text = services.rotate_key(
                    key_id, overlap=overlap, by=acting(request), now=database_now()
                )
            except KeyConflict as error:
                return self._refused(request, key_id, error)
            return self._made(request, new, text)
        return self._asked(request, key, "Rotate", form)

    def revoke_view(self, request: HttpRequest, key_id: int) -> HttpResponse:
        """Ask, then let the key open nothing any more."""
        key = self._key(request, key_id)
        if request.method != "POST":
            return self._asked(request, key, "Revoke", None)
        try:
            services.revoke_key(key_id, by=acting(request), now=database_now())
        except KeyConflict as error:
            return self._refused(request, key_id, error)
        self.message_user(request, f"The key {key.name} was revoked.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:access_apikey_changelist"))

    def _key(self, request: HttpRequest, key_id: int) -> ApiKey:
        if not self.has_change_permission(request):
            raise PermissionDenied
        key = ApiKey.objects.filter(pk=key_id).first() if key_id < 2**63 else None
        if key is None:
            raise Http404
        return key

    def _refused(self, request: HttpRequest, key_id: int, error: Exception) -> HttpResponse:
        self.message_user(request, str(error), messages.ERROR)
        return HttpResponseRedirect(reverse("admin:access_apikey_change", args=[key_id]))

    def _asked(self, request: HttpRequest, key: ApiKey, verb: str, form: Any) -> HttpResponse:
        context = {"title": f"{verb} the key {key.name}", "key": key, "verb": verb, "form": form}
        return self._page(request, "admin/access/apikey/ask.html", context)

    def _made(self, request: HttpRequest, key: ApiKey, text: str) -> HttpResponse:
        # In the answer itself: a message or a redirect would put it into a session or a log.
        context = {"title": f"The key {key.name} was made", "key": key, "text": text}
        return self._page(request, "admin/access/apikey/made.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, template, whole)
