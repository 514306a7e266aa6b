"""The routes of checks, results and the ledger, one module a family."""

from ninja import Router

from monitoring.api import checks, history, ledger, summary, transitions
from monitoring.api.checks import RunNotFound
from monitoring.api.negotiation import NotAcceptable
from monitoring.api.parameters import BadParameter, EmptySpan
from monitoring.api.present import observe
from monitoring.by_state import of_states

__all__ = [
    "BadParameter",
    "EmptySpan",
    "NotAcceptable",
    "RunNotFound",
    "observe",
    "of_states",
    "router",
]

router = Router()
# Before those of one domain: a fixed word is no domain's id.
router.add_router("", ledger.router)
router.add_router("", transitions.router)
router.add_router("", checks.router)
router.add_router("", history.router)
router.add_router("", summary.router)
