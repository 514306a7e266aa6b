"""The shapes of answers about many checks. No I/O."""

import uuid
from typing import Any

from ninja import Schema
from pydantic import ConfigDict

from domains.bulk import Refusal
from domains.bulk_schemas import ItemProblem, problem_out
from domains.models import Domain


class BulkCheckResult(Schema):
    """What became of one item: 202 where its check was written down, else why it was not."""

    index: int
    status: int
    id: int | None
    external_id: str | None
    problem: ItemProblem | None


class BulkCheckOut(Schema):
    """What became of each item, in their order; the run has the results of all of them.

    `run_id` and `status_url` are null of a dry run, and where no check was accepted.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dry_run": False,
                    "run_id": "5f0c6a52-6f0e-4a55-9a53-3a6d7a1f2b7c",
                    "status_url": "http://127.0.0.1:8000/api/monitoring/runs/"
                    "5f0c6a52-6f0e-4a55-9a53-3a6d7a1f2b7c",
                    "succeeded": 1,
                    "failed": 0,
                    "results": [
                        {
                            "index": 0,
                            "status": 202,
                            "id": 17,
                            "external_id": None,
                            "problem": None,
                        }
                    ],
                }
            ]
        }
    )

    dry_run: bool
    run_id: uuid.UUID | None
    status_url: str | None
    succeeded: int
    failed: int
    results: list[BulkCheckResult]


def check_out(index: int, result: Domain | Refusal) -> dict[str, Any]:
    """Return the fields of a ``BulkCheckResult``."""
    if isinstance(result, Domain):
        return {
            "index": index,
            "status": 202,
            "id": result.pk,
            "external_id": result.external_id,
            "problem": None,
        }
    problem = problem_out(result)
    return {
        "index": index,
        "status": problem["status"],
        "id": None,
        "external_id": None,
        "problem": problem,
    }
