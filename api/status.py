"""The counts that every page shows, from the one query they all come from."""

from __future__ import annotations

from typing import Any

from answers import status as answer
from api.resource import Call, Out, Resource
from auth.roles import READER

resource = Resource("status")


class Status(Out):
    failed: int
    late: int
    warn: int
    ok: int
    unknown: int
    total: int


@resource.get("/status", need=READER, returns=Status, etag=True)
def status(call: Call) -> dict[str, Any]:
    """How many nodes are failed, late, at risk and so on, and how DLV's own parts are.

    `roots`, `symptoms` and `at_risk` are null while the graph is away; `reason` says so.
    """
    return answer.counts(call.dlv)
