"""The pages of users, for who has the scope admin; Django's own of users and groups go."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import password_validators_help_text_html
from django.db import transaction
from django.http import HttpRequest

from domains.admin import BoundedAdmin, acting
from domains.audit import Actor
from domains.clock import database_now
from sentinel.access import users
from sentinel.access.permissions import scope_of
from sentinel.access.scopes import SCOPES

admin.site.unregister([User, Group])


class UserForm(forms.ModelForm):  # type: ignore[type-arg] # generic for the checker alone
    """A user: name, scope, password. Validating it writes it, through ``sentinel.access.users``."""

    actor: ClassVar[Actor]
    """Who writes; set on the class that is made for a request."""

    scope = forms.ChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        help_text="read: sees everything but keys, users and the audit; write: also changes "
        "domains; admin: also keys, users and the audit.",
    )
    enabled = forms.BooleanField(
        required=False, initial=True, help_text="Whether they can sign in."
    )
    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=password_validators_help_text_html,
    )
    once_more = forms.CharField(
        strip=False,
        label="Password, once more",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        """The name is the one column that is an input itself."""

        model = User
        fields = ("username",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        user = kwargs.get("instance")
        if user is not None:
            kwargs["initial"] = {"scope": scope_of(user), "enabled": user.is_active}
        super().__init__(*args, **kwargs)
        if user is not None:
            for name in ("password", "once_more"):
                self.fields[name].required = False
                self.fields[name].help_text = "Empty: it stays. A new one ends open sessions."
            for name in ("scope", "enabled"):
                # What counts as changed is what the person changed: not what another did meanwhile.
                self.fields[name].show_hidden_initial = True

    def save(self, commit: bool = True) -> Any:
        """Return the user, who was written when found valid."""
        return super().save(commit=False)

    def _post_clean(self) -> None:
        given = self.cleaned_data
        if given.get("password") != given.get("once_more"):
            self.add_error("once_more", "The two passwords differ.")
        if self.errors:
            return
        try:
            self._write()
        except users.UserRefused as error:
            field = "username" if error.field == "name" else error.field
            self.add_error(field if field in self.fields else None, str(error))

    def _write(self) -> None:
        given, now = self.cleaned_data, database_now()
        if self.instance.pk is None:
            self.instance = users.create_user(
                given["username"],
                scope=given["scope"],
                password=given["password"],
                by=self.actor,
                now=now,
            )
            return
        changed = {name: given[name] for name in ("scope", "enabled") if name in self.changed_data}
        with transaction.atomic():  # what is refused is refused as a whole
            if given["password"]:
                users.set_password(self.instance, given["password"], by=self.actor, now=now)
            users.change_user(self.instance, **changed, by=self.actor, now=now)


@admin.register(User)
class UserAdmin(BoundedAdmin):
    """Who may sign in. Users are shut out, not deleted: the audit names them."""

    audited_as = users.OBJECT
    form = UserForm
    ordering = ("username",)
    list_display = ("username", "scope", "is_active", "last_login", "date_joined")
    list_filter = ("is_active",)
    search_fields = ("username",)
    actions = None
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("username", "scope", "enabled", "password", "once_more")}),
    )

    @admin.display(description="scope")
    def scope(self, user: User) -> str:
        """Return the user's scope."""
        return scope_of(user) or "none"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return users with their groups, in one query for all of them."""
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the inputs: a user who is there already may be shut out."""
        if obj is not None:
            return self.fieldsets
        return ((None, {"fields": ("username", "scope", "password", "once_more")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the name of who is there already: the audit has it."""
        return () if obj is None else ("username",)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, which knows who writes."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.actor = acting(request)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Leave it to the form, which wrote it."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False
