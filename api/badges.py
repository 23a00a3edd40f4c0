"""A status badge for a wiki or a README: an image whose address nobody can guess, open to who has it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, request
from pydantic import StringConstraints

from answers import nodes, status
from api.resource import PREFIX, Call, Given, Out, Resource
from auth import badges
from auth.gate import SEGMENT, wrong_token
from auth.roles import RESPONDER
from errors import NotFound
from store import audit, teams
from store import wall as store

resource = Resource("badges")

Token = Annotated[str, StringConstraints(pattern=f"^{SEGMENT}$")]

#: what is said and its colour: those of the light scheme, for a badge stands on somebody else's page
COLOURS = {
    "failed": "#c2152f",
    "late": "#a54b00",
    "warn": "#806200",
    "ok": "#0a7a66",
    "unknown": "#626b7d",
    "at_risk": "#7a3fb8",
}
WORDS = {"failed": "failed", "late": "late", "warn": "warning", "ok": "healthy", "unknown": "unknown"}
#: seconds for which an image may be shown without asking again
FRESH = 30
#: widths in tenths of a pixel at 11 px: narrow and wide letters of the fonts that badges are drawn in
_NARROW, _WIDE = set("fijlrt.,:;'|!()[] "), set("mwMWGOQ@%")


class BadgeOf(Given):
    kind: Literal["node", "team", "pipeline"]
    id: str


class Badge(Out):
    url: str
    markdown: str


@resource.post("/badges", need=RESPONDER, body=BadgeOf, returns=Badge, status=201)
def make(call: Call) -> dict[str, Any]:
    """The address of a badge of a node, a team's nodes, or a pipeline (a DAG, application or project) with its jobs.

    Whoever has the address sees name and health, without signing in. It is the same each time; a new DLV_SECRET_KEY
    closes all of them.
    """
    kind, id_ = call.body.kind, nodes.uuid_of(call.body.id)
    name = _name(call, kind, id_)
    with call.dlv.record.tx() as conn:
        audit.write(
            conn, call.actor, "badge.make", "team" if kind == "team" else "node", id_, None, {"kind": kind}
        )
    address = (
        f"{request.host_url.rstrip('/')}{PREFIX}/badges/{badges.token(call.dlv.settings, kind, id_)}.svg"
    )
    return {"url": address, "markdown": f"![{name}]({address})"}


@resource.get("/badges/{token}.svg", need=None, media="image/svg+xml")
def badge(call: Call, token: Token) -> Response:
    """The image. Its token is what lets in."""
    known = badges.read(call.dlv.settings, token)
    if known is None:
        raise wrong_token()
    kind, id_ = known
    try:
        name = _name(call, kind, id_)
    except NotFound:
        raise wrong_token() from None
    with call.dlv.record.tx() as conn:
        rows = store.of_badge(conn, kind, id_)
    said, state = told(kind, rows, status.standing(call.dlv))
    image = drawn(name.rsplit("/", 1)[-1][-48:], said, COLOURS[state])
    response = Response(image, content_type="image/svg+xml; charset=utf-8")
    response.headers.update(
        {"Cache-Control": f"public, max-age={FRESH}", "Cross-Origin-Resource-Policy": "cross-origin"}
    )
    response.set_etag(hashlib.blake2b(image.encode(), digest_size=12).hexdigest())
    response.make_conditional(request)
    return response


def _name(call: Call, kind: str, id_: UUID) -> str:
    if kind != "team":
        name: str = nodes.get(call.dlv, id_)["name"]
        return name
    with call.dlv.record.tx() as conn:
        of_team: str = teams.get(conn, id_)["name"]
    return of_team


def told(kind: str, rows: Sequence[dict[str, Any]], standing: status.Standing) -> tuple[str, str]:
    """(what the badge says, the state whose colour it has)."""
    if not rows:
        return "not on the map", "unknown"
    if kind == "node":
        health = rows[0]["health"]
        role = standing.role(rows[0]["id"])
        if role == "at_risk" and health in ("ok", "unknown"):
            return "at risk", "at_risk"
        standing_word = {"root": ", root cause", "symptom": ", symptom"}.get(role or "", "")
        return WORDS[health] + standing_word, health
    count = Counter(r["health"] for r in rows)
    bad = [s for s in ("failed", "late", "warn") if count[s]]
    if bad:
        return f"{', '.join(f'{count[s]} {WORDS[s]}' for s in bad)} of {len(rows)}", bad[0]
    if count["ok"]:
        return f"{count['ok']} healthy" + (f" of {len(rows)}" if count["unknown"] else ""), "ok"
    return "unknown", "unknown"


def width(text: str) -> int:
    """Pixels that a text takes at 11 px, near enough for a badge."""
    tenths = sum(42 if c in _NARROW else 98 if c in _WIDE else 68 for c in text)
    return round(tenths / 10) + 12


def drawn(name: str, said: str, colour: str) -> str:
    """The image: name and state, in words as well as in colour."""
    a, b = width(name), width(said)
    label = escape(f"{name}: {said}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b}" height="20" role="img" aria-label="{label}">'
        f"<title>{label}</title>"
        f'<clipPath id="r"><rect width="{a + b}" height="20" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><path fill="#434b5c" d="M0 0h{a}v20H0z"/>'
        f'<path fill="{colour}" d="M{a} 0h{b}v20H{a}z"/></g>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{a / 2}" y="14" textLength="{a - 12}">{escape(name)}</text>'
        f'<text x="{a + b / 2}" y="14" textLength="{b - 12}">{escape(said)}</text></g></svg>'
    )
