"""One check: what it says now and why, what it looks at, and how its last looks went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dash
from dash import ClientsideFunction, Input, Output, State, callback, clientside_callback, dcc, html, no_update
from dash.development.base_component import Component

from answers import history
from answers.nodes import uuid_of
from checks.fields import Field, in_words
from checks.registry import KINDS
from errors import DlvError
from pages import _check_forms, _deps, _forms, _grid
from pages import _check_words as said_as
from pages import _words as words
from pages._icons import glyph, ic, sys
from store import checks as store

dash.register_page(__name__, path_template="/checks/<check_id>", title="Check · DLV")

FORM = "one-check"
DIALOG = _check_forms.install(FORM, None)
#: results drawn, and those told in words
DRAWN, TOLD = 90, 25


def layout(check_id: str | None = None, **_: Any) -> Component:
    return html.Div(
        [
            dcc.Store(id="check-id", data=check_id),
            dcc.Store(id="check-seen"),
            dcc.Store(id="check-drawn"),
            html.Div(id="check-page"),
            *_check_forms.place(FORM, DIALOG),
        ],
        className="pad check",
    )


@callback(
    Output("check-page", "children"),
    Output("check-drawn", "data"),
    Output("check-seen", "data"),
    Input("check-id", "data"),
    Input(f"{FORM}-fresh", "data"),
    Input("beat", "data"),
    State("check-seen", "data"),
)
def show(id_: str | None, fresh: str | None, _: object, seen: str | None) -> tuple[Any, Any, Any]:
    """The whole page; nothing where nothing happened since."""
    now = datetime.now(UTC)
    try:
        key = uuid_of(id_ or "")
        with _deps.dlv().record.tx() as conn:
            check = store.get(conn, key)
            results = store.recent(conn, key, DRAWN)
            beats = store.beats(conn, key, TOLD) if check["has_url"] else []
        mark = f"{id_} {fresh} {check['slot_at']} {check['version']} {check['state']} {check['muted_until']} {len(beats) and beats[0].at} {now:%H:%M}"
        if mark == seen:
            return no_update, no_update, no_update
        past = history.check(_deps.dlv(), key, 1, now)
    except DlvError as e:
        return _grid.failed(e), no_update, None
    latest = results[0] if results else None
    body = [
        _head(check),
        _state(check, latest, now),
        html.Div(
            [
                html.Section(
                    [html.H2("Results"), *_history(check, results, _calls(beats))], className="check-main"
                ),
                html.Section(
                    [
                        html.Div([html.H2("Uptime"), _uptime(past)]),
                        html.Div([html.H2("What it looks at"), _facts(check, now)]),
                    ],
                    className="check-side",
                ),
            ],
            className="check-parts",
        ),
    ]
    return body, drawn(check, results), mark


# ---------------------------------------------------------------- what it says now


def _head(c: Mapping[str, Any]) -> Component:
    node = {"system": c["node_system"], "kind": c["node_kind"], "type": c["node_type"]}
    return html.Div(
        [
            html.Div(
                [
                    dcc.Link([ic("chevron-left"), "Checks"], href="/checks", className="back muted"),
                    html.H1(c["name"]),
                    html.P(
                        [
                            said_as.kind(c["kind"]), " on ",
                            html.Button(
                                [sys(node), html.Span(c["node_name"])], className="node-link",
                                title=c["node_namespace"], **{"data-open": str(c["node_id"])},
                            ),
                        ],
                        className="muted check-on",
                    ),
                ],
                className="grow",
            ),
            html.Div(_buttons(c), className="check-acts"),
        ],
        className="list-head",
    )  # fmt: skip


def _buttons(c: Mapping[str, Any]) -> list[Component]:
    id_: dict[str, Any] = {"data-id": str(c["id"])}
    removed, paused = c["retired_at"] is not None, c["paused_at"] is not None
    out = []
    if _deps.can("responder") and not removed:
        if not paused and c["state"] != "muted":
            out.append(_forms.opener(FORM, "run", "Look now", "player-play", **id_))
        out.append(
            _forms.opener(FORM, "mute", "Muted" if c["state"] == "muted" else "Mute", "bell-off", **id_)
        )
    if _deps.can("admin"):
        if removed:
            out.append(_forms.opener(FORM, "unretire", "Bring back", "refresh", **id_))
            return out
        kind = KINDS.get(c["kind"])
        if kind and kind.accepts and c["status"] in ("warn", "fail"):
            out.append(_forms.opener(FORM, "accept", "Accept as it is", "circle-check", **id_))
        if kind and kind.called:
            out.append(_forms.opener(FORM, "url", "New URL", "link", **id_))
        word, icon = ("resume", "refresh") if paused else ("pause", "player-pause")
        out.append(_forms.opener(FORM, word, word.capitalize(), icon, **id_))
        out.append(_forms.opener(FORM, "edit", "Edit", "pencil", **id_))
        out.append(_forms.opener(FORM, "retire", "Remove", "trash", **id_))
    return out


def _state(c: Mapping[str, Any], latest: Mapping[str, Any] | None, now: datetime) -> Component:
    """The state in a word, why, since when, and what to do where it could not look."""
    s = said_as.state(c)
    said: list[Any] = [
        html.B([_shape(s), s["word"], html.Span(_since(c), className="muted since")]),
        html.P(_forms.sentence(c["reason"]) if c["slot_at"] else "It looks for the first time now."),
    ]
    detail = (latest or {}).get("detail") or {}
    if c["status"] == "not_checked" and detail.get("hint") and c["state"] == "unknown":
        said.append(html.P([html.B("What to do "), _forms.sentence(detail["hint"])], className="hint"))
    if c["state"] == "muted":
        said.append(
            html.P(f"Muted until {words.stamp(said_as.iso(c['muted_until']))}: results count for nothing.")
        )
    if c["connection_retired"]:
        said.append(html.P("Its connection is retired: choose another one, or bring it back."))
    said += _drift(c, detail)
    return html.Div(said, className=f"fault c-{s['state']} check-state", role="status")


def _shape(s: Mapping[str, str]) -> Component:
    return ic(s["icon"]) if s.get("icon") else glyph(s["state"])


def _since(c: Mapping[str, Any]) -> str:
    if c["state"] == "muted":
        return ""
    if c["state"] in ("paused", "retired"):
        at = c["paused_at"] if c["state"] == "paused" else c["retired_at"]
        return f"since {words.stamp(said_as.iso(at))}"
    return f"since {words.stamp(said_as.iso(c['since']))}" if c["since"] else ""


def _drift(c: Mapping[str, Any], detail: Mapping[str, Any]) -> list[Component]:
    """Columns that drifted, each with what it was and is."""
    if c["kind"] != "schema" or c["status"] not in ("warn", "fail"):
        return []
    rows = [(n, "added", "", t) for n, t in (detail.get("added") or {}).items()]
    rows += [(n, "removed", t, "") for n, t in (detail.get("removed") or {}).items()]
    rows += [(n, "other type", was, is_) for n, (was, is_) in (detail.get("retyped") or {}).items()]
    if not rows:
        return []
    head = html.Thead(html.Tr([html.Th(t, scope="col") for t in ("Column", "What", "Accepted", "Now")]))
    lines = [
        html.Tr([html.Td(html.Code(n)), html.Td(what), html.Td(was), html.Td(is_)])
        for n, what, was, is_ in rows[:60]
    ]
    return [html.Table([head, html.Tbody(lines)], className="list drift")]


# ---------------------------------------------------------------- what it looks at, and how that was over time


def _uptime(past: Mapping[str, Any]) -> Component:
    """How much of its looks were good, and how well its node kept its SLA, over a day to three months."""
    sla = past["sla"]
    heads: list[Any] = ["Over", "This check"]
    if sla:
        heads.append(["Its node's SLA", html.Div(words.sla({"sla": sla}), className="muted")])
    lines = []
    for days, share in past["uptime"].items():
        said = [words.percent(share), *([words.percent(sla["percent"][days])] if sla else [])]
        lines.append(
            html.Tr([html.Th(words.many(int(days), "day"), scope="row"), *[html.Td(one) for one in said]])
        )
    head = html.Thead(html.Tr([html.Th(h, scope="col") for h in heads]))
    return html.Div(
        [
            html.Table([head, html.Tbody(lines)], className="list check-uptime"),
            html.P("What DLV could not see counts as neither good nor bad.", className="muted"),
        ],
        className="check-past",
    )


def _facts(c: Mapping[str, Any], now: datetime) -> Component:
    kind = KINDS.get(c["kind"])
    facts: list[tuple[str, Any]] = [("Kind", said_as.kind(c["kind"]))]
    if c["connection_name"]:
        facts.append(("Through", c["connection_name"] + (" (retired)" if c["connection_retired"] else "")))
    for f in kind.fields if kind else ():
        if f.name in c["config"]:
            facts.append((f.label, _value(f, c["config"][f.name])))
    facts += [
        ("Looks every", in_words(c["every_seconds"])),
        ("Next look", said_as.soon(c["next_slot_at"], now) or "—"),
        ("A failure", "only warns" if c["severity"] == "warn" else "fails the node"),
        ("Owner", c["owner_name"] or "nobody yet"),
    ]
    if c["accepted_at"]:
        facts.append(("Accepted", words.stamp(c["accepted_at"])))
    out: list[Any] = []
    for label, value in facts:
        out += [html.Dt(label), html.Dd(value)]
    return html.Dl(out, className="check-facts")


def _value(f: Field, value: Any) -> Any:
    if f.kind == "duration":
        return in_words(float(value)) if float(value) >= 1 else f"{float(value) * 1000:g} ms"
    if f.kind == "choice":
        return dict(f.choices).get(value, str(value))
    if f.kind == "switch":
        return "yes" if value else "no"
    if f.kind == "sql":
        return html.Pre(str(value), className="mono sql")
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


# ---------------------------------------------------------------- how it went


def drawn(c: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What js/8-checks.js draws: [time in ms, state, number or null, words] of each result, oldest first."""
    points = []
    for r in reversed(results):
        state = said_as.glyph_of(r["status"], c["health"] if r["status"] == "fail" else "")
        number = said_as.number(c["kind"], r["value"], c["config"])
        line = " · ".join(
            t
            for t in (
                said_as.STATUS[r["status"]],
                number,
                words.stamp(said_as.iso(r["slot_at"])),
                r["reason"],
            )
            if t
        )
        points.append([round(r["slot_at"].timestamp() * 1000), state, r["value"], line])
    known = KINDS.get(c["kind"])
    return {"points": points, "unit": known.unit if known else "", "id": str(c["id"])}


def _history(
    c: Mapping[str, Any], results: Sequence[Mapping[str, Any]], between: Sequence[Component]
) -> list[Component]:
    """Bars and numbers, ``between``, then the newest in words."""
    if not results:
        nothing = html.P("Nothing yet: the first result shows here within some seconds.", className="muted")
        return [nothing, *between]
    bad = sum(r["status"] == "fail" for r in results)
    blind = sum(r["status"] in ("not_checked", "error") for r in results)
    label = f"The last {len(results)} results, oldest first: {bad} failed, {blind} could not be told"
    lines = [
        html.Tr(
            [
                html.Td(words.stamp(said_as.iso(r["slot_at"]))),
                html.Td(
                    html.Span([glyph(g := _glyph(c, r)), said_as.STATUS[r["status"]]], className=f"st c-{g}")
                ),
                html.Td(said_as.number(c["kind"], r["value"], c["config"])),
                html.Td(r["reason"], className="why", title=r["reason"]),
                html.Td(_took(r), className="muted"),
            ]
        )
        for r in results[:TOLD]
    ]
    head = html.Thead(html.Tr([html.Th(t, scope="col") for t in ("Slot", "Result", "Value", "Why", "Took")]))
    return [
        html.Div(id="check-chart", className="check-chart", role="img", **{"aria-label": label}),
        *between,
        html.Div(html.Table([head, html.Tbody(lines)], className="list results"), className="table-box"),
    ]


def _glyph(c: Mapping[str, Any], r: Mapping[str, Any]) -> str:
    return said_as.glyph_of(r["status"], c["health"] if r["status"] == "fail" else "")


def _took(r: Mapping[str, Any]) -> str:
    if not (r["started_at"] and r["ended_at"]):
        return ""
    took = (r["ended_at"] - r["started_at"]).total_seconds()
    return f"{took * 1000:,.0f} ms" if took < 10 else words.lasted(took)


def _calls(beats: Sequence[Any]) -> list[Component]:
    """The calls of a heartbeat's URL."""
    if not beats:
        return []
    shape = {"success": ("ok", "Success"), "fail": ("failed", "Failure"), "start": ("running", "Start")}
    lines = [
        html.Tr(
            [
                html.Td(words.stamp(said_as.iso(b.at))),
                html.Td(
                    html.Span(
                        [glyph(shape[b.kind][0]), shape[b.kind][1]], className=f"st c-{shape[b.kind][0]}"
                    )
                ),
                html.Td(b.note, className="why"),
            ]
        )
        for b in beats
    ]
    head = html.Thead(html.Tr([html.Th(t, scope="col") for t in ("When", "Call", "Note")]))
    table = html.Table([head, html.Tbody(lines)], className="list")
    return [
        html.H3("Calls of its URL"),
        html.Div(
            table,
            className="table-box calls",
            tabIndex="0",
            role="region",
            **{"aria-label": "Calls of its URL"},
        ),
    ]


clientside_callback(
    ClientsideFunction("dlv", "check_drawn"),
    Output("check-chart", "title"),
    Input("check-drawn", "data"),
    Input("check-page", "children"),
)
