"""Inputs of the domain's form that Django has not: lists by line, header fields, JSON."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError


def _lines(text: Any) -> list[str]:
    return [line.strip() for line in str(text or "").splitlines() if line.strip()]


class Lines(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 60})

    def to_python(self, value: Any) -> Any:
        """Return the lines that say something."""
        return value if isinstance(value, list) else _lines(value)

    def prepare_value(self, value: Any) -> Any:
        """Return the text of a list."""
        return "\n".join(value) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        """Leave it to the schema."""


class HeaderFields(Lines):
    """Header fields, ``Name: value`` one a line, as a dict."""

    def to_python(self, value: Any) -> Any:
        """Return the fields by name.

        Raises:
            ValidationError: a line is none; the words do not repeat it.
        """
        if isinstance(value, dict):
            return value
        fields: dict[str, str] = {}
        for number, line in enumerate(_lines(value), start=1):
            name, colon, text = line.partition(":")
            if not colon:
                raise ValidationError(f"line {number} has no colon: write Name: value")
            if name.strip() in fields:
                raise ValidationError(f"line {number} names a field for the second time")
            fields[name.strip()] = text.strip()
        return fields

    def prepare_value(self, value: Any) -> Any:
        """Return the text of a dict."""
        if isinstance(value, dict):
            return "\n".join(f"{name}: {text}" for name, text in value.items())
        return value


class Text(forms.CharField):
    """A text of several lines, as it was typed: browsers send other ends of lines."""

    widget = forms.Textarea(attrs={"rows": 5, "cols": 80})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)

    def to_python(self, value: Any) -> Any:
        """Return it with the ends of lines that were typed."""
        return (super().to_python(value) or "").replace("\r\n", "\n")


class Json(forms.JSONField):
    """JSON that people can read."""

    def prepare_value(self, value: Any) -> Any:
        """Return it on as many lines as it takes."""
        if isinstance(value, list | dict):
            return json.dumps(value, ensure_ascii=False, indent=2)
        return super().prepare_value(value)
