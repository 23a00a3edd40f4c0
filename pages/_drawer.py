"""The one drawer: all about a node, an edge, what was folded, or every cause. Any page opens it with an element that
carries ``data-open`` (an id) and perhaps ``data-kind``; js/4-shell.js puts that into the store ``drawer-ask``.
"""

from __future__ import annotations

import json
from typing import Any

import dash_mantine_components as dmc
from dash import Input, Output, State, callback, dcc, html, no_update
from dash.development.base_component import Component

import auth
from answers import causes, edges, lineage, nodes, wall
from errors import DlvError
from pages import _check_words, _deps, _notes, _why
from pages import _words as words
from pages._icons import glyph, health, ic, role, sys
from store import annotations as annotation_store

#: more of each than anybody reads here; the API has all
COLUMNS, NAMES, FOLDED, EDGES = 40, 8, 40, 12


def place() -> Component:
    return html.Aside(
        [
            html.Button(
                ic("x"),
                id="drawer-close",
                className="iconbtn close",
                title="Close (Esc)",
                **{"aria-label": "Close"},
            ),
            html.Div(id="drawer-in", className="drawer-in", **{"aria-live": "polite"}),
            dcc.Store(id="drawer-ask"),
            dcc.Store(id="drawer-said"),
            *_notes.DIALOG.place(),
        ],
        id="drawer",
        className="drawer",
        **{"aria-label": "Details"},
    )


@callback(
    Output("drawer-in", "children"),
    Output("drawer", "className"),
    Input("drawer-ask", "data"),
    Input("drawer-said", "data"),
    Input("note-fresh", "data"),
    prevent_initial_call=True,
)
def fill(ask: dict[str, Any] | None, _: object, __: object) -> tuple[Any, Any]:
    """What the drawer shows for what was clicked."""
    if not ask or not ask.get("id"):
        return None, "drawer"
    kinds = {"node": _node, "edge": _edge, "fold": _fold, "causes": _causes}
    try:
        body = kinds.get(ask.get("kind", "node"), _node)(ask)
    except DlvError as e:
        body = [
            html.Div(
                [ic("alert-triangle"), html.H2("Not to be had"), html.P(e.message)],
                className="empty",
                role="alert",
            )
        ]
    return body, "drawer open"


# ---------------------------------------------------------------- a node


def _node(ask: dict[str, Any]) -> list[Any]:
    all_ = nodes.drawer(_deps.dlv(), ask["id"])
    n = all_["node"]
    return [
        _head(n),
        _chips(n),
        _silence(all_["silence"]),
        *(_why.place(wall.why(_deps.dlv(), n["id"])) if _why.bad_role(n) else []),
        _fault(n, all_["runs"]),
        html.Div(
            [
                dcc.Link(
                    [ic("sitemap"), "Lineage"], href=f"/lineage?node={n['id']}", className="btn small primary"
                ),
                dcc.Link(
                    [ic("topology-star-3"), "Impact"], href=f"/impact?node={n['id']}", className="btn small"
                ),
                dcc.Link([ic("route"), "Path to…"], href=f"/paths?from={n['id']}", className="btn small"),
                dcc.Link([ic("pencil"), "Edit"], href=f"/admin/nodes?edit={n['id']}", className="btn small")
                if _deps.can("admin")
                else None,
            ],
            className="acts",
        ),
        _section("About", [_about(all_)]),
        _runs(all_["runs"], n),
        _checks(all_["checks"], n["id"]),
        _assertions(all_["assertions"]),
        _schema(all_),
        _sql(all_["sql"]),
        _edges(all_, n),
        _names(all_),
        _warnings(all_["warnings"]),
        _annotations("node", n["id"], all_["annotations"]),
    ]


def _head(n: dict[str, Any]) -> Component:
    return html.Div(
        [
            sys(n),
            html.Div(
                [html.H2(n["name"]), html.Div(f"{words.kind(n)} · {n['namespace']}", className="muted")]
            ),
        ],
        className="head",
    )


def _chips(n: dict[str, Any]) -> Component:
    said = [
        role(n["role"]),
        html.Span([glyph(n["health"]), words.HEALTH[n["health"]]], className=f"tag c-{n['health']}"),
    ]
    if n["running"]:
        said.append(html.Span([glyph("running"), "Running"], className="tag c-running"))
    if n["criticality"]:
        said.append(html.Span(f"Criticality {n['criticality']}", className="tag"))
    if n["environment"] != "default":
        said.append(html.Span(n["environment"], className="tag"))
    if n["retired_at"] or n["dropped_at"]:
        said.append(html.Span("Retired" if n["retired_at"] else "Dropped", className="tag c-unknown"))
    said += [html.Span(t, className="tag") for t in n["tags"][:8]]
    return html.Div([s for s in said if s], className="chips")


def _silence(s: dict[str, Any] | None) -> Component | None:
    """Until when nobody is told of it, and why."""
    if not s:
        return None
    word = "Maintenance" if s["kind"] == "maintenance" else "Silenced"
    return html.Div(
        [
            ic("bell-off"),
            html.Div([html.B(f"{word} until {words.stamp(s['until'])}"), html.Div(s["reason"])]),
        ],
        className="silence-line",
        title="Nobody is told of this node until then",
    )


def _fault(n: dict[str, Any], runs: list[dict[str, Any]]) -> Component | None:
    """What is wrong, in the words of whoever found it, and the way to the log."""
    if n["health"] not in ("failed", "late", "warn"):
        return None
    failed = next((r for r in runs if r["state"] == "FAIL"), None)
    trace = failed and n["health"] == "failed" and failed["error_detail"]
    if n["role"] == "root":  # error and log are told above, as the cause
        return html.Div(_trace(trace), className="fault c-failed") if trace else None
    log = failed and failed["log_url"]
    said = [
        html.B(f"This node: {words.HEALTH[n['health']].lower()} {words.ago(n['health_since'])}"),
        html.Div(n["health_reason"]),
    ]
    if failed and n["health"] == "failed" and failed["error"] and failed["error"] not in n["health_reason"]:
        said.append(html.Div(failed["error"], className="mono"))
    if trace:
        said.append(_trace(trace))
    if log and log.startswith(("http://", "https://")):
        said.append(
            html.A(
                ["Open the log ", ic("external-link")],
                href=log,
                target="_blank",
                rel="noopener noreferrer",
                className="link",
            )
        )
    return html.Div(said, className=f"fault c-{n['health']}")


def _trace(text: str) -> Component:
    return html.Details([html.Summary("Stack trace"), html.Pre(text[:4000], className="mono trace")])


def _about(all_: dict[str, Any]) -> Component:
    n = all_["node"]
    source = all_["source_url"]
    lines: list[tuple[str, Any]] = [
        ("Owner", n["owner_name"] or "Nobody yet"),
        ("SLA", words.sla(n)),
        ("Last seen", html.Span(words.ago(n["last_seen"]), title=words.stamp(n["last_seen"]))),
        ("First seen", words.stamp(n["first_seen"])),
        ("Last made", html.Span(words.ago(n["made_at"]), title=words.stamp(n["made_at"]))),
        ("Upstream", words.many(all_["upstream"], "direct neighbour")),
        ("Downstream", words.many(all_["downstream"], "direct neighbour")),
    ]
    for r in all_["renamed"]:
        way = "Renamed to" if r["way"] == "to" else "Was called"
        lines.append((way, [_open(r), html.Span(f" {words.stamp(r['at'])}", className="muted")]))
    if all_["parent"]:
        lines.append(("Part of", _open(all_["parent"])))
    if all_["children"]:
        lines.append(("Holds", words.many(len(all_["children"]), "job")))
    if source and source.startswith(("http://", "https://")):
        lines.append(
            (
                "Source",
                html.A(source, href=source, target="_blank", rel="noopener noreferrer", className="link"),
            )
        )
    if n["unresolved"]:
        lines.append(("Unresolved", html.Span([glyph("warn"), " ", n["unresolved"]], className="c-warn")))
    said = n["description"] or all_["documentation"]
    return html.Div(
        [
            html.P(said, style={"marginBottom": "10px"}) if said else None,
            html.Dl([part for k, v in lines for part in (html.Dt(k), html.Dd(v))]),
        ]
    )


def _open(n: dict[str, Any]) -> Component:
    """A node's name that opens its drawer."""
    return html.Button(n["name"], className="link", **{"data-open": n["id"]})


_STATE = {
    "COMPLETE": ("ok", "Done"),
    "FAIL": ("failed", "Failed"),
    "ABORT": ("unknown", "Aborted"),
    "RUNNING": ("running", "Running"),
    "START": ("running", "Running"),
}


def _runs(runs: list[dict[str, Any]], n: dict[str, Any]) -> Component:
    title = "Last runs" if n["type"] == "job" else "Last runs that write it"
    if not runs:
        return _section(title, [html.P("No run has been seen.", className="muted")])
    longest = max((r["duration"] or 0 for r in runs), default=0)
    bars, rows = [], []
    for r in reversed(runs):
        state, word = _STATE.get(r["state"], ("unknown", r["state"].capitalize()))
        high = 8 + 22 * ((r["duration"] or 0) / longest if longest else 0.4)
        bars.append(
            html.Span(
                className=f"c-{state} bar-{state}",
                style={"height": f"{high:.0f}px"},
                title=f"{word} · {words.stamp(r['due_at'])} · {words.lasted(r['duration'])}",
            )
        )
    for r in runs[:5]:
        state, word = _STATE.get(r["state"], ("unknown", r["state"].capitalize()))
        rows.append(
            html.Li(
                [
                    html.Span([glyph(state), word], className=f"st c-{state}"),
                    html.Span([words.stamp(r["due_at"])], className="muted", title=r["run_id"]),
                    html.Span(words.lasted(r["duration"])),
                ]
            )
        )
    label = f"{len(runs)} runs, oldest first; height is duration, {sum(r['state'] == 'FAIL' for r in runs)} failed"
    return _section(
        title,
        [
            html.Div(bars, className="runs", role="img", **{"aria-label": label}),
            html.Ul(rows, className="runlist"),
        ],
    )


def _checks(said: list[dict[str, Any]], node_id: str) -> Component | None:
    """The node's checks, the worst first, each leading to its page."""
    if not said:
        if not _deps.can("admin"):
            return None
        make = dcc.Link([ic("plus"), "Make a check"], href=f"/checks?new={node_id}", className="link")
        return _section("Checks", [html.P(make)])
    rows = []
    for c in said[:12]:
        s = _check_words.state(c)
        shape = ic(s["icon"]) if s.get("icon") else glyph(s["state"])
        rows.append(
            html.Li(
                [
                    html.Span([shape, s["word"]], className=f"st c-{s['state']}"),
                    dcc.Link(c["name"], href=f"/checks/{c['id']}", className="link"),
                    html.Span(c["reason"] if c["slot_at"] else "", className="muted"),
                ]
            )
        )
    bad = sum(c["state"] in ("failed", "late") for c in said)
    title = f"Checks · {bad} of {len(said)} fail" if bad else f"Checks · {len(said)}"
    more = dcc.Link("All of them", href=f"/checks?node={node_id}", className="link")
    return _section(
        title, [html.Ul(rows, className="drawer-checks"), html.P(more) if len(said) > 3 else None]
    )


def _assertions(said: list[dict[str, Any]]) -> Component | None:
    if not said:
        return None
    rows = []
    for a in said[:20]:
        state = "ok" if a["success"] else "failed" if a["severity"] == "error" else "warn"
        name = a["name"] + (f" ({a['column_name']})" if a["column_name"] else "")
        rows.append(
            html.Tr(
                [
                    html.Td(
                        html.Span(
                            [glyph(state), "passed" if a["success"] else "failed"], className=f"st c-{state}"
                        )
                    ),
                    html.Td([name, html.Div(a["message"], className="muted")] if a["message"] else name),
                ]
            )
        )
    bad = sum(not a["success"] for a in said)
    return _section(
        f"Assertions · {bad} of {len(said)} fail" if bad else f"Assertions · all {len(said)} hold",
        [html.Table(html.Tbody(rows), className="cols")],
    )


def _schema(all_: dict[str, Any]) -> Component | None:
    fields = all_["schema"]
    if not fields:
        return None
    rows = [
        html.Tr(
            [
                html.Td(
                    [f.get("name", ""), html.Div(f["description"], className="muted")]
                    if f.get("description")
                    else f.get("name", "")
                ),
                html.Td(f.get("type", "") or "", className="mono muted"),
            ]
        )
        for f in fields[:COLUMNS]
    ]
    rest = [html.P(f"and {len(fields) - COLUMNS:,} more", className="muted")] if len(fields) > COLUMNS else []
    versions = len(all_["schema_versions"])
    title = f"Schema · {words.many(len(fields), 'column')}" + (
        f" · {versions} versions" if versions > 1 else ""
    )
    return _section(title, [html.Table(html.Tbody(rows), className="cols"), *rest])


def _sql(text: str | None) -> Component | None:
    return text and _section("SQL", [html.Pre(text[:6000], className="mono sql")], shut=True)


def _edges(all_: dict[str, Any], n: dict[str, Any]) -> Component | None:
    """Direct neighbours, each with what proves it and when it was last seen."""
    parts: list[Any] = []
    for direction, label in (
        ("upstream", "Reads from" if n["type"] == "job" else "Written by"),
        ("downstream", "Writes to" if n["type"] == "job" else "Read by"),
    ):
        some = [e for e in all_["edges"] if e["direction"] == direction and e["valid_to"] is None]
        if not some:
            continue
        rows = [_edge_row(e, direction) for e in some[:EDGES]]
        if len(some) > EDGES:
            rows.append(html.P(f"and {len(some) - EDGES:,} more", className="muted"))
        parts += [html.H3(label), *rows]
    return _section("Neighbours and what proves them", parts) if parts else None


def _edge_row(e: dict[str, Any], direction: str) -> Component:
    name = e["source_name"] if direction == "upstream" else e["target_name"]
    return html.Button(
        [
            ic("arrow-right"),
            html.Span(name, className="grow trunc"),
            html.Span(", ".join(e["provenance"]), className="muted"),
            html.Span(words.ago(e["last_seen"]), className="muted"),
        ],
        className="row",
        title=name,
        **{"data-open": e["id"], "data-kind": "edge"},
    )


def _names(all_: dict[str, Any]) -> Component | None:
    names = all_["names"]
    sent = [(s["namespace"], s["name"], s["producer"]) for a in names for s in a["sent"]]
    rows = [
        html.Tr(
            [
                html.Td([html.Div(name), html.Div(ns, className="muted")]),
                html.Td(producer or "by hand", className="muted"),
            ]
        )
        for ns, name, producer in sent[:NAMES]
    ]
    if len(sent) > NAMES:
        rows.append(html.Tr(html.Td(f"and {len(sent) - NAMES:,} more", className="muted")))
    why = [
        html.Li(
            [
                html.B(e["kind"]),
                f" by {e['source']}: {e['a_name']} ",
                "≠" if e["kind"] == "split" else "=",
                f" {e['b_name']}",
            ],
            className="muted",
        )
        for e in all_["evidence"][:NAMES]
    ]
    if not rows and not why:
        return None
    body: list[Any] = [html.Table(html.Tbody(rows), className="cols")]
    if why:
        body += [html.H3("Why they are one"), html.Ul(why)]
    return _section(f"Names as sent · {len(sent)}", body, shut=True)


def _warnings(said: list[dict[str, Any]]) -> Component | None:
    if not said:
        return None
    rows = [
        html.Li(
            [
                html.Code(w["path"]),
                " ",
                w["message"],
                html.Span(f" · {w['producer'] or 'unknown producer'}", className="muted"),
            ]
        )
        for w in said[:12]
    ]
    return _section(f"Events break the specification · {len(said)}", [html.Ul(rows)], shut=True)


# ---------------------------------------------------------------- an edge


def _edge(ask: dict[str, Any]) -> list[Any]:
    e = edges.get(_deps.dlv(), ask["id"])
    ends = [nodes.get(_deps.dlv(), e[k]) for k in ("source", "target")]
    holds = [
        html.Tr(
            [
                html.Td(f"from {words.stamp(i['valid_from'])}"),
                html.Td(f"to {words.stamp(i['valid_to'])}" if i["valid_to"] else "still holds"),
            ]
        )
        for i in e["intervals"][:10]
    ]
    proofs = [
        html.Tr(
            [
                html.Td(
                    [
                        r.get("job_name") or r.get("run_id") or r["provenance"],
                        html.Div(r.get("run_id") or "", className="muted mono"),
                    ]
                ),
                html.Td(words.ago(r["last_at"]), className="muted"),
            ]
        )
        for r in e["runs"][:10]
    ]
    return [
        html.Div(
            [
                html.Span(),
                html.Div(
                    [
                        html.H2("Edge"),
                        html.Div(
                            "drawn by hand" if e["standin"] else "read or written by a job", className="muted"
                        ),
                    ]
                ),
            ],
            className="head",
        ),
        html.Div([_end("From", ends[0]), _end("To", ends[1])]),
        _section(
            "Provenance",
            [
                html.Div([html.Span(p, className="tag") for p in e["provenance"]], className="chips"),
                html.Dl(
                    [
                        html.Dt("First seen"),
                        html.Dd(words.stamp(e["first_seen"])),
                        html.Dt("Last seen"),
                        html.Dd([words.ago(e["last_seen"]), f" ({words.stamp(e['last_seen'])})"]),
                    ]
                ),
            ],
        ),
        _section("When it held", [html.Table(html.Tbody(holds), className="cols")]) if holds else None,
        _section("Runs that prove it", [html.Table(html.Tbody(proofs), className="cols")])
        if proofs
        else None,
        _annotations("edge", e["id"], e["annotations"]),
    ]


def _end(label: str, n: dict[str, Any]) -> Component:
    return html.Button(
        [
            html.Span(label, className="muted", style={"width": "38px"}),
            sys(n),
            html.Span(n["name"], className="grow trunc"),
            role(n["role"]) or health(n["health"]),
        ],
        className="row",
        **{"data-open": n["id"]},
    )


# ---------------------------------------------------------------- what was folded, and causes


def _fold(ask: dict[str, Any]) -> list[Any]:
    """The neighbours that the canvas folded, those that matter most first, each to be put on it."""
    direction = "upstream" if ask.get("direction") == "upstream" else "downstream"
    cursor, first = ask.get("cursor"), int(ask.get("first") or 1)
    shown = [s for s in ask.get("shown") or [] if isinstance(s, str)]
    said = lineage.folded(_deps.dlv(), ask.get("via") or ask["id"], direction, shown, None, FOLDED, cursor)
    rows = [
        html.Div(
            [
                html.Button(
                    [
                        sys(n),
                        html.Span(
                            [
                                html.Div(n["name"], className="trunc"),
                                html.Div(
                                    f"{words.kind(n)}{' · ' + n['owner_name'] if n['owner_name'] else ''}",
                                    className="muted trunc",
                                ),
                            ],
                            className="grow",
                        ),
                        role(n["role"]) or health(n["health"]),
                    ],
                    className="row",
                    **{"data-open": n["id"]},
                ),
                html.Button(
                    ic("plus"),
                    className="iconbtn",
                    title="Draw it on the canvas",
                    **{"aria-label": f"Draw {n['name']} on the canvas", "data-also": n["id"]},
                ),
            ],
            className="fold-row",
        )
        for n in said["items"]
    ]
    more = []
    if said["next"] is not None:
        more = [
            html.Button(
                f"Next {min(FOLDED, said['total'] - first - len(said['items']) + 1)}",
                className="btn small",
                **{
                    "data-fold": json.dumps(
                        {**ask, "cursor": said["next"], "first": first + len(said["items"])}
                    )
                },
            )
        ]
    last = first + len(said["items"]) - 1
    return [
        html.Div(
            [
                html.Span(),
                html.Div(
                    [
                        html.H2(f"{said['total']:,} more {direction}"),
                        html.Div(
                            f"{first:,} to {last:,}, what is broken or critical first",
                            className="muted",
                        ),
                    ]
                ),
            ],
            className="head",
        ),
        html.Div(rows),
        *more,
    ]


def _causes(ask: dict[str, Any]) -> list[Any]:
    """Every failed and late ancestor, roots first."""
    found = causes.causes(_deps.dlv(), ask["id"])
    rows = [
        html.Div(
            [
                html.Button(
                    [
                        role("root" if c["root"] else "symptom"),
                        html.Span(c["name"], className="grow trunc"),
                        health(c["health"]),
                    ],
                    className="row",
                    **{"data-open": c["id"]},
                ),
                html.Div(c["error"], className="mono muted trunc", title=c["error"]),
            ]
        )
        for c in found["items"]
    ]
    return [
        html.Div(
            [
                html.Span(),
                html.Div(
                    [
                        html.H2(f"{found['total']:,} failed or late upstream"),
                        html.Div(f"of {found['node']['name']}, root causes first", className="muted"),
                    ]
                ),
            ],
            className="head",
        ),
        html.Div(rows),
        html.P(f"The first {len(rows)} are listed.", className="muted") if found["cut"] else None,
    ]


# ---------------------------------------------------------------- annotations


def _annotations(kind: str, id_: str, said: list[dict[str, Any]]) -> Component:
    notes: list[Any] = [
        html.Div(
            [
                html.Div(a["text"]),
                html.Div(
                    [
                        f"{a['author']}, {words.ago(a['created_at'])}",
                        ", edited" if a["edited_at"] else "",
                        *_notes.buttons(a),
                    ],
                    className="muted",
                ),
            ],
            className="note",
        )
        for a in said[:20]
    ]
    if _deps.can("responder"):
        notes.append(
            html.Div(
                [
                    dmc.Textarea(
                        id="note-text",
                        placeholder="What should the next person know?",
                        autosize=True,
                        minRows=2,
                        maxRows=8,
                        **{"aria-label": "Note"},
                    ),
                    html.Div(
                        [
                            html.Button("Add note", id="note-add", className="btn small"),
                            html.Span(id="note-error", className="c-failed st", role="alert"),
                        ],
                        style={"display": "flex", "gap": "10px", "alignItems": "center"},
                    ),
                    dcc.Store(id="note-on", data={"kind": kind, "id": id_}),
                ],
                className="note-form",
            )
        )
    elif not notes:
        notes.append(html.P("No notes.", className="muted"))
    return _section(f"Notes · {len(said)}" if said else "Notes", notes)


@callback(
    Output("drawer-said", "data"),
    Output("note-error", "children"),
    Input("note-add", "n_clicks"),
    State("note-text", "value"),
    State("note-on", "data"),
    prevent_initial_call=True,
)
@auth.requires("responder")
def annotate(n: int | None, text: str | None, on: dict[str, Any]) -> tuple[Any, Any]:
    """Write a note on what the drawer shows; audited."""
    if not n:
        return no_update, no_update
    try:
        id_ = nodes.uuid_of(on["id"])
        with _deps.dlv().record.tx() as conn:
            annotation_store.write(
                conn, auth.actor(), "edge" if on["kind"] == "edge" else "node", id_, text or ""
            )
    except DlvError as e:
        return no_update, e.message
    return f"{on['id']} {n}", ""


def _section(title: str, body: list[Any], *, shut: bool = False) -> Component:
    if shut:
        return html.Section(html.Details([html.Summary(title), *body]))
    return html.Section([html.H2(title), *body])
