"""Inputs of the domain's form that Django has not: lists by line, header fields, JSON."""

import json
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

_MOST_LEVELS: Final = 100
"""The schema allows for fewer; Python cannot write down as many as it can read."""


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


class _Decoder(json.JSONDecoder):
    """Says of whatever it cannot read that it is not JSON, as Django expects it to."""

    def decode(self, s: str, *args: Any) -> Any:
        """Return the value of a text.

        Raises:
            json.JSONDecodeError: it has none, or one that is too long or too deep to be shown.
        """
        try:
            value = super().decode(s, *args)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError):
            raise json.JSONDecodeError("too long a number, or too deep", "", 0) from None
        if _levels(value) > _MOST_LEVELS:
            raise json.JSONDecodeError("too deep", "", 0)
        return value


def _levels(value: Any) -> int:
    """Return how deep a value is nested, up to one more than may be."""
    level, count = [value], 0
    while level and count <= _MOST_LEVELS:
        inner: list[Any] = []
        for each in level:
            if isinstance(each, list | dict):
                inner += each.values() if isinstance(each, dict) else each
        level, count = inner, count + 1
    return count


class Json(forms.JSONField):
    """JSON that people can read."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(decoder=_Decoder, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Return it on as many lines as it takes."""
        if isinstance(value, list | dict):
            return json.dumps(value, ensure_ascii=False, indent=2)
        return super().prepare_value(value)
