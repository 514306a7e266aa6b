"""Rules between fields of one domain, each of which is valid by itself."""

from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import urlsplit

from domains.models import Domain
from domains.request import BODILESS_METHODS
from domains.weburl import literal_family

_FAMILIES: Final = {"ipv4": "IPv4", "ipv6": "IPv6"}


class FieldsRefused(ValueError):  # noqa: N818 - bad input, answered as such
    """Fields that do not go together, or not with what is stored.

    Attributes:
        errors: pairs of a JSON pointer into the request's body and the cure in words,
            without any value that was sent.
    """

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{where}: {words}" for where, words in self.errors))


def pointer(*path: str | int) -> str:
    """Return the JSON pointer of a place in the request's body, as a fragment (RFC 6901, 6)."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def refuse_contradictions(domain: Domain, *, sent: Collection[str]) -> None:
    """Check the rules between fields, as the domain would be stored.

    Args:
        domain: with all its fields, not stored yet.
        sent: the names of the fields in the request: of those at fault, one that was sent
            is pointed at.

    Raises:
        FieldsRefused: with one pair for each rule that does not hold.
    """
    errors = [
        (pointer(next((name for name in fields if name in sent), fields[0])), words)
        for fields, words in _contradictions(domain)
    ]
    if errors:
        raise FieldsRefused(errors)


def secrets_of(domain: Domain) -> frozenset[str]:
    """Return what is stored encrypted, as it is stored: a secret sent anew looks different."""
    values = [value for _, value in domain.sealed_headers]
    values += [domain.sealed_body, domain.sealed_credential]
    return frozenset(value for value in values if value is not None)


def refuse_moved_secrets(domain: Domain, *, url: str, secrets: frozenset[str]) -> None:
    """Keep secrets that were given for one origin from being sent to another.

    Who may write may not read them: turning the URL to a server of one's own would be a way.

    Args:
        domain: as it would be stored.
        url: where they were sent until now.
        secrets: those of before, by ``secrets_of``.

    Raises:
        FieldsRefused: one of them would go along.
    """
    if _origin(domain.url) != _origin(url) and secrets & secrets_of(domain):
        words = (
            "the stored secrets were given for another origin: with the new url send headers, "
            "body and auth again, with their values or empty"
        )
        raise FieldsRefused([(pointer("url"), words)])


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _contradictions(domain: Domain) -> Iterable[tuple[tuple[str, ...], str]]:
    if domain.sealed_body is not None and domain.method in BODILESS_METHODS:
        words = (
            f"a {domain.method} request has no body: use POST, PUT, PATCH, DELETE or OPTIONS, "
            "or send null as the body"
        )
        yield ("body", "method"), words
    names = {name.lower() for name, _ in domain.sealed_headers}
    if domain.auth_type is not None and "authorization" in names:
        words = "auth and the header Authorization are the same thing twice: keep one of them"
        yield ("auth", "headers"), words
    after = domain.degraded_after_us
    if after is not None and after >= domain.timeout * 1_000_000:
        words = (
            "degraded_after must be less than timeout, or nothing is ever degraded: "
            "lower it, or raise timeout"
        )
        yield ("degraded_after", "timeout"), words
    family = literal_family(domain.url)
    if family is not None and domain.ip_version not in ("both", family):
        words = (
            f"the URL's host is an {_FAMILIES[family]} address, which ip_version excludes: "
            f"give {family} or both"
        )
        yield ("ip_version", "url"), words
