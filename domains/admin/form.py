"""The form of a domain. What is valid is said by the API's own schemas, and by the services.

Secrets are write-only: stored ones are shown as the mask, which keeps them when it comes back,
and what was typed is not shown again where the form is refused.
"""

import json
import re
from typing import Any, ClassVar, Final, cast

from django import forms
from django.http import QueryDict
from pydantic import ValidationError

from domains import services
from domains.admin.inputs import HeaderFields, Json, Lines, Text
from domains.audit import Actor
from domains.clock import database_now
from domains.conflicts import Conflict, DomainNotFound
from domains.models import IP_VERSIONS, METHODS, Domain, default_locations
from domains.request import MASK
from domains.rules import FieldsRefused
from domains.schemas import DomainIn, DomainPatch
from domains.shown import shown

AGAIN: Final = "… (to be typed again)"
"""What stands where a secret was typed, once the form was refused. The API would refuse it too."""

_TYPE_IT: Final = "What was typed is not shown again: type it anew, or restore the mask."
_USER_INFO: Final = re.compile(r"//[^/?#]*@")
_OF_BODY: Final = frozenset({"body", "body_is_json"})
_OF_AUTH: Final = frozenset({"auth_type", "auth_username", "secret"})
_INPUT_OF: Final = {("auth", "username"): "auth_username", ("auth", "password"): "secret"} | {
    ("auth", "token"): "secret",
    ("auth",): "auth_type",
}


def _choices(words: Any) -> list[tuple[str, str]]:
    return [(word, word) for word in words]


class DomainForm(forms.ModelForm):  # type: ignore[type-arg] # generic for the checker alone
    """The fields of a domain as a person writes them. Validating it writes it: see ``write``."""

    actor: ClassVar[Actor]
    """Who writes; set on the class that is made for a request."""

    name = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"size": 60}))
    url = forms.CharField(label="URL", widget=forms.TextInput(attrs={"size": 80}))
    enabled = forms.BooleanField(required=False, initial=True)
    external_id = forms.CharField(
        required=False, label="External id", help_text="How another system knows it; unique."
    )
    group = forms.CharField(required=False)
    tags = Lines(required=False, help_text="One a line.")
    interval = forms.IntegerField(initial=60, help_text="Seconds from one check to the next.")
    timeout = forms.IntegerField(initial=10, help_text="Seconds for the whole check.")
    locations = Lines(initial=default_locations, help_text="One a line.")
    method = forms.ChoiceField(choices=_choices(METHODS), initial="GET")
    headers = HeaderFields(
        required=False,
        help_text=f"Name: value, one a line. Values are write-only; {MASK} keeps the stored one.",
    )
    body = Text(required=False, help_text=f"Write-only; {MASK} keeps the stored one.")
    body_is_json = forms.BooleanField(required=False, label="The body is JSON")
    auth_type = forms.ChoiceField(
        required=False,
        choices=[("", "none"), *_choices(("basic", "bearer"))],
        label="Authentication",
    )
    auth_username = forms.CharField(
        required=False,
        strip=False,
        label="User name",
        # A browser would fill in whom it knows to sign in here.
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    secret = forms.CharField(
        required=False,
        strip=False,
        label="Password or token",
        help_text=f"Write-only; {MASK} keeps the stored one.",
        widget=forms.PasswordInput(render_value=True, attrs={"autocomplete": "new-password"}),
    )
    http2 = forms.BooleanField(required=False, label="HTTP/2")
    ip_version = forms.ChoiceField(
        choices=_choices(IP_VERSIONS), initial="both", label="IP version"
    )
    follow_redirects = forms.BooleanField(required=False, initial=True)
    verify_tls = forms.BooleanField(required=False, initial=True, label="Verify TLS")
    expected_status = forms.CharField(initial="200-299", help_text="Such as 200-299,401.")
    degraded_after = forms.FloatField(
        required=False, help_text="Seconds past which an answer counts as degraded."
    )
    assertions = Json(
        required=False,
        initial=list,
        help_text="A JSON list, as the API has it; see /api/docs.",
        widget=forms.Textarea(attrs={"rows": 8, "cols": 80}),
    )

    class Meta:
        """All inputs are declared here."""

        model = Domain
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        domain = kwargs.get("instance")
        if domain is not None:
            stored = shown(domain)
            auth = stored.pop("auth") or {}
            kwargs["initial"] = {
                **stored,
                "body_is_json": domain.body_is_json,
                "auth_type": auth.get("type", ""),
                "auth_username": auth.get("username", ""),
                "secret": MASK if auth else "",
                **(kwargs.get("initial") or {}),
            }
        super().__init__(*args, **kwargs)
        if domain is not None:
            # What counts as changed is what the person changed: not what another did meanwhile.
            for field in self.fields.values():
                field.show_hidden_initial = True

    def save(self, commit: bool = True) -> Any:
        """Return the domain, which was written when it was found valid."""
        return super().save(commit=False)

    def _post_clean(self) -> None:
        if not self.errors:
            self._write()
        if self.errors:
            self._hide()

    def _write(self) -> None:
        """Create or change the domain by what the API itself calls; take over what it refuses."""
        is_new = self.instance.pk is None
        fields = self._fields(set(self.fields) if is_new else set(self.changed_data))
        if self.errors:
            return
        now = database_now()
        try:
            if is_new:
                valid = DomainIn.model_validate(fields).model_dump()
                self.instance = services.create_domain(valid, by=self.actor, now=now)
            else:
                patch = DomainPatch.model_validate(fields).model_dump(exclude_unset=True)
                self.instance = services.change_domain(
                    self.instance.pk, patch, by=self.actor, now=now
                )
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                self._refuse(item["loc"], item["msg"].removeprefix("Value error, "))
        except FieldsRefused as error:
            for pointer, words in error.errors:
                self._refuse(tuple(pointer.removeprefix("#/").split("/")), words)
        except Conflict as error:
            self.add_error("external_id", str(error))
        except DomainNotFound as error:
            self.add_error(None, str(error))

    def _fields(self, names: set[str]) -> dict[str, Any]:
        """Return what the API would be sent for these inputs."""
        given = self.cleaned_data
        for name in ("headers", "body", "secret"):
            values = given[name].values() if name == "headers" else [given[name]]
            if AGAIN in values:
                self.add_error(name, "Type the value itself, or restore the mask.")
        if self.errors:
            return {}
        fields = {name: given[name] for name in names - _OF_BODY - _OF_AUTH}
        for name in ("external_id", "group"):
            if not fields.get(name, True):
                fields[name] = None
        if "assertions" in fields and fields["assertions"] is None:
            fields["assertions"] = []
        if names & _OF_BODY:
            fields["body"] = self._body()
        if names & _OF_AUTH:
            fields["auth"] = self._auth()
        return fields

    def _body(self) -> Any:
        body, is_json = self.cleaned_data["body"], self.cleaned_data["body_is_json"]
        if body == MASK and "body" not in self.changed_data and "body_is_json" in self.changed_data:
            self.add_error("body", "Type the body itself: the stored one stays as it was given.")
        if not is_json or body in ("", MASK):
            return body or None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            self.add_error("body", "It is not JSON: correct it, or send it as text.")
        return None

    def _auth(self) -> dict[str, str] | None:
        given = self.cleaned_data
        match given["auth_type"]:
            case "basic":
                return {
                    "type": "basic",
                    "username": given["auth_username"],
                    "password": given["secret"],
                }
            case "bearer":
                return {"type": "bearer", "token": given["secret"]}
        return None

    def _refuse(self, path: tuple[str | int, ...], words: str) -> None:
        name, *inner = (str(part) for part in path)
        last = inner[-1:] or [""]
        target = _INPUT_OF.get((name, last[0])) or _INPUT_OF.get((name,), name)
        place = ", ".join(inner) if name in ("headers", "assertions", "tags", "locations") else ""
        self.add_error(
            target if target in self.fields else None, f"{place}: {words}" if place else words
        )

    def _hide(self) -> None:
        """Keep what was typed as a secret out of the page on which it is to be corrected."""
        data = cast("QueryDict", self.data).copy()
        lines = str(data.get("headers", "")).splitlines()
        hidden = [_without_value(line) for line in lines]
        if hidden != lines:
            data["headers"] = "\n".join(hidden)
            self.add_error("headers", _TYPE_IT)
        for name in ("body", "secret"):
            if data.get(name, "") not in ("", MASK):
                data[name] = AGAIN
                self.add_error(name, _TYPE_IT)
        data["url"] = _USER_INFO.sub("//", str(data.get("url", "")))
        self.data = data


def _without_value(line: str) -> str:
    name, colon, value = line.partition(":")
    if not colon:
        return AGAIN if line.strip() else line
    return line if value.strip() in ("", MASK) else f"{name}: {AGAIN}"
