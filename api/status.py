"""The counts that every page shows, from the one query they all come from."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from answers import status as answer
from api.resource import Call, Given, Out, Resource, Text
from auth.roles import READER

resource = Resource("status")


class StatusQuery(Given):
    environment: list[Text] = Field([], description="Only these environments")


class Incidents(Out):
    open: int
    unacknowledged: int
    by_severity: dict[str, int] = Field(description="1 is the worst")


class Status(Out):
    failed: int
    late: int
    warn: int
    ok: int
    unknown: int
    total: int
    incidents: Incidents


@resource.get("/status", need=READER, query=StatusQuery, returns=Status, etag=True)
def status(call: Call) -> dict[str, Any]:
    """How many nodes are failed, late, at risk and so on, open incidents, and how DLV's own parts are.

    `roots`, `symptoms` and `at_risk` are null while the graph is away; `reason` says so.
    """
    return answer.counts(call.dlv, call.query.environment)
