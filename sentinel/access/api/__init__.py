"""The routes of access: keys and the audit."""

from sentinel.access.api.audit import router as audit_router
from sentinel.access.api.keys import router as keys_router

__all__ = ["audit_router", "keys_router"]
