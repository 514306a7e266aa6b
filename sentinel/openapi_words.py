"""The closed lists of words in the OpenAPI document, each once and by a name.

A client that is generated has one class for a name. Where the words stood at each field and
parameter, it would have as many classes of the same words, named by the places.
"""

from dataclasses import dataclass
from typing import Any, Final

from monitoring.pages import FIELDS
from monitoring.probes.states import Reason, State

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """A closed list; ``labels`` name its words in programs where they are no names themselves."""

    name: str
    description: str
    words: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def schema(self) -> Schema:
        """Return the schema that stands under the name."""
        schema: Schema = {
            "type": "string",
            "description": self.description,
            "enum": list(self.words),
        }
        if self.labels:
            schema["x-enum-varnames"] = list(self.labels)
        return schema


_STATES: Final = tuple(state.value for state in State)
_SEEN: Final = tuple(state.value for state in State if state is not State.MISSED)
_SORTED_BY: Final = ("id", "name", "url", "interval", "created_at", "updated_at")

LISTS: Final = (
    Words("ResultState", "What a check ended as.", _STATES),
    Words("State", "How a domain is: what its last check that was run ended as.", _SEEN),
    Words(
        "SoughtState", "How a domain is; `unknown` before its first result.", (*_SEEN, "unknown")
    ),
    Words("Reason", "Why a check is not `up`.", tuple(reason.value for reason in Reason)),
    Words("CheckKind", "Whether a check was due, or asked for.", ("scheduled", "manual")),
    Words("RunStatus", "Whether all results of a run are there.", ("pending", "finished")),
    Words("HttpVersion", "Of HTTP.", ("1.0", "1.1", "2"), ("HTTP_1_0", "HTTP_1_1", "HTTP_2")),
    Words("ResultField", "A field of a result.", FIELDS),
    Words(
        "Step",
        "How long a bucket is.",
        ("1m", "5m", "1h", "1d"),
        ("MINUTE", "FIVE_MINUTES", "HOUR", "DAY"),
    ),
    Words(
        "HistoryStep",
        "Results as they are, or how long a bucket is to be.",
        ("raw", "1m", "5m", "1h", "1d", "auto"),
        ("RAW", "MINUTE", "FIVE_MINUTES", "HOUR", "DAY", "AUTO"),
    ),
    Words(
        "Window",
        "The last hour to the last 90 days, or the span that was asked for.",
        ("1h", "24h", "7d", "30d", "90d", "span"),
        ("HOUR", "DAY", "DAYS_7", "DAYS_30", "DAYS_90", "SPAN"),
    ),
    Words("Order", "Which comes first.", ("newest", "oldest")),
    Words(
        "DomainOrder",
        "What domains are sorted by; from the greatest down with a hyphen before it.",
        (*_SORTED_BY, *(f"-{name}" for name in _SORTED_BY)),
        (
            *(name.upper() for name in _SORTED_BY),
            *(f"{name.upper()}_DESCENDING" for name in _SORTED_BY),
        ),
    ),
    Words(
        "Method",
        "A method of HTTP.",
        ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"),
    ),
    Words("IpVersion", "Which addresses of a host may be dialled.", ("both", "ipv4", "ipv6")),
    Words("Severity", "What an assertion that fails makes of the check.", ("down", "degraded")),
    Words(
        "HeaderOperator",
        "How a header is compared.",
        ("equals", "contains", "not_contains", "matches", "not_matches"),
    ),
    Words(
        "BodyOperator",
        "How a body is compared.",
        ("contains", "not_contains", "matches", "not_matches"),
    ),
    Words(
        "JsonOperator",
        "How a value in JSON is compared.",
        ("equals", "not_equals", "exists", "below", "at_most", "above", "at_least"),
    ),
    Words("SizeOperator", "How a size is compared.", ("at_most", "at_least")),
    Words("Scope", "What a key may do.", ("read", "write", "admin")),
    Words("KeyState", "Whether a key opens the API, or why not.", ("live", "expired", "revoked")),
    Words("ActorKind", "What kind of somebody did it.", ("key", "user", "command")),
)
_BY_WORDS: Final = {each.words: each for each in LISTS}


def name_words(document: Schema) -> None:
    """Put each closed list under its name, in place, with a reference where it stood."""
    schemas = document["components"]["schemas"]
    found = _refer(document["paths"]) | _refer(schemas)
    schemas.update({each.name: each.schema() for each in LISTS if each.name in found})
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def _refer(node: Any) -> set[str]:
    """Replace the lists below a node; return the names of those that were there."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = {name for child in children for name in _refer(child)}
    words = node.get("enum") if isinstance(node, dict) else None
    if isinstance(words, list) and (known := _BY_WORDS.get(tuple(words))):
        del node["enum"], node["type"]
        reference = {"$ref": f"#/components/schemas/{known.name}"}
        # Of what stands beside a reference many tools take no notice.
        node.update({"allOf": [reference]} if node else reference)
        found.add(known.name)
    return found
