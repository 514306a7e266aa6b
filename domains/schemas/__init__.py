"""The shapes of domains and of errors in the API. No I/O.

- ``problem``: what an error says.
- ``written``: what people send of a domain.
- ``answers``: what they are shown of it.
"""

from domains.schemas.answers import DomainOut, DomainPage, domain_out
from domains.schemas.problem import ErrorItem, Problem, problems
from domains.schemas.written import READ_ONLY, DomainIn, DomainPatch

__all__ = [
    "READ_ONLY",
    "DomainIn",
    "DomainOut",
    "DomainPage",
    "DomainPatch",
    "ErrorItem",
    "Problem",
    "domain_out",
    "problems",
]
