"""Owner, SLA, tags and criticality from a YAML or CSV file, with a preview."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.resource import Call, Given, Out, Resource, Text
from auth.roles import ADMIN
from store import assign

resource = Resource("assign")


class File(Given):
    # no length here: a wrong line is named by the reader, and so is a file that is too large
    model_config = {"extra": "forbid", "str_max_length": assign.MAX_BYTES + 1}

    text: Text = Field(description="Entries of select and set; see the docs for both formats")
    format: Literal["yaml", "csv"]
    name: Text = Field("", max_length=200, description="The file's name, for the audit log")


class Preview(Out):
    changes: list[dict[str, Any]] = Field(
        description="node, field, before, after; `manual`: set by hand, and stays as it is"
    )
    entries: list[dict[str, Any]]
    nodes: int


@resource.post("/assign/preview", need=ADMIN, body=File, returns=Preview)
def preview(call: Call) -> dict[str, Any]:
    """What the file would change, and what was set by hand and stays. Writes nothing."""
    with call.dlv.record.tx() as conn:
        return assign.preview(conn, call.body.text, call.body.format)


@resource.post("/assign", need=ADMIN, body=File, returns=Preview)
def apply(call: Call) -> dict[str, Any]:
    """Write what the preview shows."""
    with call.dlv.record.tx() as conn:
        return assign.apply(conn, call.actor, call.body.text, call.body.format, call.body.name)
