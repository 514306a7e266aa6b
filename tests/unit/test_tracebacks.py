"""What is said of exceptions: enough to find the fault, and no value that they quote."""

import io
import json
from typing import Any

import pytest
from pydantic import BaseModel

from domains.paging import BadCursor
from monitoring.api import BadParameter
from sentinel.tracebacks import UNTOLD, words_of, write_traceback

CANARY = "canary-5d21e7"


class _Model(BaseModel):
    number: int


def raised(work: Any) -> Exception:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "work",
    [
        lambda: int(CANARY),
        lambda: dict[str, int]()[CANARY],
        lambda: _Model(number=CANARY),
        lambda: list[str]().remove(CANARY),
        lambda: json.loads(CANARY),
        lambda: CANARY.encode().decode("utf-16"),
        lambda: getattr(int, "x", None) or float(CANARY),
    ],
)
def test_messages_that_quote_values_are_left_out(work: Any) -> None:
    error = raised(work)
    assert words_of(error) == UNTOLD
    assert CANARY not in written(error)
    assert type(error).__name__ in written(error)


@pytest.mark.parametrize(
    "error", [BadParameter("step", "give 1m"), RuntimeError("give 1m"), TypeError("give 1m")]
)
def test_words_of_our_own_and_of_the_language_are_kept(error: Exception) -> None:
    assert words_of(error) == "give 1m"


def test_no_words_are_the_class() -> None:
    assert words_of(BadCursor()) == "BadCursor"


def test_words_are_one_line() -> None:
    assert words_of(RuntimeError("a\nforged line")) == "a forged line"


def written(error: BaseException) -> str:
    output = io.StringIO()
    write_traceback(output, (type(error), error, error.__traceback__))
    return output.getvalue()


def test_a_traceback_has_its_causes_first_and_its_frames() -> None:
    def fail() -> None:
        try:
            int(CANARY)
        except ValueError as error:
            raise RuntimeError("outer") from error

    text = written(raised(fail))
    assert text.index("builtins.ValueError") < text.index("direct cause")
    assert text.index("direct cause") < text.index("builtins.RuntimeError: outer")
    assert "in fail" in text
    assert CANARY not in text


def test_what_was_suppressed_is_not_told() -> None:
    def fail() -> None:
        try:
            raise RuntimeError("hidden")
        except RuntimeError:
            raise TypeError("shown") from None

    text = written(raised(fail))
    assert "hidden" not in text
    assert "shown" in text


def test_a_group_is_told_with_its_members() -> None:
    text = written(ExceptionGroup("several", [RuntimeError("one"), ValueError(CANARY)]))
    assert "one" in text
    assert CANARY not in text
