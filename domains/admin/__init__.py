"""What operators see and change of domains, in Django's admin.

``DomainAdmin`` knows what people write; ``monitoring.admin`` registers it with what was seen.
"""

from domains.admin import audit  # noqa: F401 - it registers itself
from domains.admin.base import BoundedAdmin, ReadOnlyAdmin, acting
from domains.admin.domain import DomainAdmin

__all__ = ["BoundedAdmin", "DomainAdmin", "ReadOnlyAdmin", "acting"]
