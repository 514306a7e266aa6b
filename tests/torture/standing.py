"""How far the probe is: the one place that says which rows it cannot pass yet, and why.

A row stays as it is when the probe learns to pass it; its line here goes.
"""

from typing import Final

FEATURES: Final = frozenset({"assertions", "degraded", "http2", "nameservers", "request"})
"""Features that rows may need, and that the probe has: ``assertions`` (judged by the probe),
``degraded`` (``degraded_after_us``), ``http2``, ``nameservers``, ``request`` (method,
headers and body of the Target are sent). Rows that need another one are skipped."""

WRONG: Final[dict[str, str]] = {}
"""Rows that the probe has everything for, and ends wrong: the row, and what is wrong."""
