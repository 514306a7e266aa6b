"""Entity tags of domains, and the conditions that requests make of them (RFC 9110, 13). Pure.

A tag is of the configuration alone: it changes with ``version``, and not with what checks see.
It is strong, since changes depend on it; an answer is never a 304, since the state in it moves on.
"""

import re
from dataclasses import dataclass
from typing import Final

from domains.conflicts import VersionMismatch
from domains.models import Domain

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ONE: Final = rf"[ \t]*(?:{_TAG.pattern}[ \t]*)?"
# White space belongs to one place only: two that may share it are tried in all ways.
_LIST: Final = re.compile(rf"{_ONE}(?:,{_ONE})*")


class BadHeader(ValueError):  # noqa: N818 - bad input, answered as such
    """A header that cannot be read; the message is the cure."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'it must be *, or tags in double quotes as ETag gives them, such as {name}: "17.3"'
        )
        self.name = name


def entity_tag(domain: Domain) -> str:
    """Return the strong tag of a domain's configuration, with its quotes."""
    return f'"{domain.pk}.{domain.version}"'


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold of a domain for a request to be carried out: nothing, by default.

    ``match`` are the strong tags of If-Match, ``none_match`` the tags of If-None-Match, with
    their quotes; "*" among them stands for any domain at all.
    """

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def check(self, domain: Domain | None) -> None:
        """Compare with the domain as it is, None where there is none.

        Raises:
            VersionMismatch: it is not what it must be.
        """
        tag = None if domain is None else entity_tag(domain)
        if self.match is not None and (tag is None or not self.match & {"*", tag}):
            if domain is None:
                raise VersionMismatch("there is no such domain, and If-Match asks for one")
            raise VersionMismatch(
                f"the domain is at version {domain.version}, its ETag is {tag}, which If-Match "
                "does not name: read it again, and decide anew"
            )
        if self.none_match is not None and tag is not None and self.none_match & {"*", tag}:
            raise VersionMismatch(
                "there is such a domain already, which If-None-Match rules out: leave the header "
                "out to change it"
            )


ANY: Final = Precondition()


def precondition(if_match: str | None, if_none_match: str | None = None) -> Precondition:
    """Read the headers of a request.

    A weak tag never matches in If-Match; in If-None-Match it is like the strong one
    (RFC 9110, 13.1.1 and 13.1.2).

    Raises:
        BadHeader: one of them is neither * nor a list of tags.
    """
    match = none_match = None
    if if_match is not None:
        match = frozenset(tag for weak, tag in _tags("If-Match", if_match) if not weak)
    if if_none_match is not None:
        none_match = frozenset(tag for _, tag in _tags("If-None-Match", if_none_match))
    return Precondition(match, none_match)


def _tags(name: str, text: str) -> list[tuple[bool, str]]:
    if text.strip(" \t") == "*":
        return [(False, "*")]
    tags = [(bool(weak), f'"{tag}"') for weak, tag in _TAG.findall(text)]
    if not tags or not _LIST.fullmatch(text):
        raise BadHeader(name)
    return tags
