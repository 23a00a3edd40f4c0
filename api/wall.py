"""The wall as one compact list: made once for all browsers, an unchanged poll is 304 without a body."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

import brotli  # type: ignore[import-untyped]
from flask import Response, request
from pydantic import Field

from answers import wall
from api.resource import Call, Given, Out, Resource, Text
from auth.roles import READER

resource = Resource("wall")


class WallQuery(Given):
    environment: list[Text] = Field([], description="Only these environments")
    system: list[Text] = Field([], description="Only these systems")
    team: list[Text] = Field([], description="Only what these teams own (id or name, 'none' for nobody's)")
    type: list[Text] = Field([], description="dataset, job")
    tag: list[Text] = Field([], description="Only nodes with one of these tags")
    q: Text = Field("", max_length=200, description="Words that name, namespace, owner or tags hold")
    unknown: bool = Field(False, description="Also nodes of which nothing was ever known")


class Wall(Out):
    counts: dict[str, Any] = Field(description="As GET /status has them")
    incidents: list[dict[str, Any]] = Field(description="Open incidents, the most severe first")
    roots: list[dict[str, Any]] = Field(description="Root causes that no incident holds yet")
    down: list[dict[str, Any]] = Field(
        description="Parts of DLV that do not work, since when, what it means; blind: tiles are old without it"
    )
    until: datetime = Field(description="End of the newest bar; there are 24, an hour each")
    kinds: list[list[str]] = Field(description=f"Each: {', '.join(wall.KIND)}")
    places: list[list[str]] = Field(description="[namespace, environment]")
    teams: list[str]
    pipelines: list[list[str] | None] = Field(description="[id, name]")
    silences: list[list[str]] = Field(description="[silence or maintenance, until when, why]")
    rows: list[list[Any]] = Field(description=f"Tiles, the worst first, each: {', '.join(wall.ROW)}")
    total: int
    cut: int = Field(description="Tiles left out, the healthiest")
    unheard: int = Field(description="Nodes of which nothing was ever known")


@resource.get("/wall", need=READER, query=WallQuery, returns=Wall, limited=False)
def tiles(call: Call) -> Response:
    """The wall: tiles with 24 hours of history, and what is broken. Poll it with If-None-Match: an unchanged wall is
    304. `Age` says how many seconds ago it was looked at.

    `id`: its 16 bytes in base64url. `health`: 0 ok, 1 warn, 2 late, 3 failed, 4 unknown. `role`: 1 root, 2 symptom, 3 at risk. `since`: minutes of the
    epoch. `bars`: two hours a character in base 36 (older × 6 + newer, 5 is an hour in which DLV did not look), the
    newest last; the first character holds for all before it. `marks`: 1 running, 2 muted, 4 paused, criticality × 8.
    `kind`, `place`, `team`, `pipeline` and `silence` are places in the lists beside; what says nothing at the end of a
    row is left out.
    """
    q = call.query
    filters = {name: getattr(q, name) for name in wall.FILTERS}
    return send(wall.snapshot(call.dlv, filters, unknown=q.unknown))


def send(snapshot: wall.Snapshot) -> Response:
    """The snapshot in the best encoding that the caller takes, each made once; 304 where the caller has it."""
    accepts = request.accept_encodings
    encoding = next((e for e in ("br", "gzip") if accepts[e] > 0), "")
    age = max(0.0, (datetime.now(UTC) - snapshot.at).total_seconds())
    response = Response(content_type="application/json")
    response.headers.update(
        {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding", "Age": f"{age:.0f}"}
    )
    response.set_etag(snapshot.etag, weak=True)
    response.make_conditional(request)
    if response.status_code != 304:
        response.set_data(_packed(snapshot, encoding))
        if encoding:
            response.headers["Content-Encoding"] = encoding
    return response


def _packed(snapshot: wall.Snapshot, encoding: str) -> bytes:
    if not encoding:
        return snapshot.body
    made = snapshot.packed.get(encoding)
    if made is None:
        made = (
            gzip.compress(snapshot.body, 5)
            if encoding == "gzip"
            else brotli.compress(snapshot.body, quality=4)
        )
        snapshot.packed[encoding] = made
    return made
