"""What is broken now: each root cause with what it said, since when, whose it is, and what it takes down."""

from __future__ import annotations

from typing import Any

import dash
from dash import Input, Output, callback, dcc, html
from dash.development.base_component import Component

from answers import impact, nodes, status
from errors import DlvError, GraphAway
from pages import _canvas, _deps
from pages import _words as words
from pages._icons import glyph, health, ic, role, sys

dash.register_page(__name__, path="/", title="Overview · DLV")

#: root causes told in full, and lines of what is at risk; the catalog has all
ROOTS, AT_RISK = 8, 10


def layout(**_: Any) -> Component:
    return html.Div([html.Div(id="home"), dcc.Store(id="home-ask", data=1)], className="pad")


@callback(Output("home", "children"), Input("home-ask", "data"), Input("pulse", "data"))
def show(_: object, __: object) -> Any:
    """The page: a sentence, the estate's health in one bar, root causes, what they put at risk."""
    dlv = _deps.dlv()
    try:
        now = status.counts(dlv)
        if not now["total"]:
            return _canvas.nothing_yet()
        return [
            html.Div([html.H1(sentence(now)), html.P(below(now), className="muted")], className="lede"),
            bar(now),
            *broken(now),
            *at_risk(now),
        ]
    except DlvError as e:
        return _canvas.failed(e)


def sentence(now: dict[str, Any]) -> str:
    """The state of everything in one line."""
    if not now["failed"] and not now["late"]:
        return "Nothing is failed or late"
    if now["roots"] is None:
        return f"{now['failed']:,} failed, {now['late']:,} late; root causes are not known while the graph is away"
    parts = [words.many(now["roots"], "root cause")]
    if now["symptoms"]:
        parts.append(words.many(now["symptoms"], "symptom"))
    said = " and ".join(parts)
    return said + (
        f", {words.many(now['at_risk'], 'node')} at risk" if now["at_risk"] else ", nothing else at risk"
    )


def below(now: dict[str, Any]) -> str:
    said = [words.many(now["total"], "node") + " on the map"]
    if now["running"]:
        said.append(f"{now['running']:,} running")
    ingest = now["parts"]["ingest"]
    if ingest["waiting"]:
        said.append(words.many(ingest["waiting"], "event") + " still to be read")
    if ingest["set_aside"]:
        said.append(words.many(ingest["set_aside"], "event") + " set aside")
    return " · ".join(said)


def bar(now: dict[str, Any]) -> Component:
    """Own health of the whole estate, widths by count, every part with its word and number."""
    states = [s for s in words.HEALTH if now[s]]
    return html.Div(
        [
            html.Div(
                [html.Span(className=f"c-{s}", style={"flexGrow": now[s]}) for s in states],
                className="health-bar",
                **{"aria-hidden": "true"},
            ),
            html.Ul(
                [
                    html.Li([glyph(s), html.B(f"{now[s]:,}"), words.HEALTH[s]], className=f"st c-{s}")
                    for s in states
                ],
                className="health-key",
            ),
        ],
        className="estate",
    )


def broken(now: dict[str, Any]) -> list[Component]:
    """Root causes, the most critical first; where the graph is away, all that is failed or late."""
    away = now["roots"] is None
    wanted = {"health": ["failed", "late"]} if away else {"health": ["root"]}
    found = nodes.page(_deps.dlv(), wanted, ROOTS, sort="criticality", total=True)
    if not found["items"]:
        return [] if away or now["failed"] or now["late"] else [_well(now)]
    out = [html.H2("Failed or late" if away else "Root causes")]
    out.append(html.Ul([_root(n) for n in found["items"]], className="roots"))
    if found["total"] > ROOTS:
        out.append(
            html.P(f"and {found['total'] - ROOTS:,} more; search finds them by name.", className="muted")
        )
    return [html.Section(out)]


def _well(now: dict[str, Any]) -> Component:
    unknown = now["unknown"]
    said = f"Of {words.many(unknown, 'node')} nothing is known yet." if unknown else "Every node is healthy."
    return html.Div([ic("circle-check"), html.H2("All quiet"), html.P(said)], className="empty well")


def _root(n: dict[str, Any]) -> Component:
    """One root cause, whole: what, since when, why, whose, and how far it reaches."""
    run = _last_bad_run(n["id"])
    error = (run and run["error"]) or n["health_reason"]
    log = run and run["log_url"]
    owner = n["owner_name"] or "Nobody owns it"
    return html.Li(
        [
            html.Div(
                [
                    role(n["role"]) or health(n["health"]),
                    sys(n),
                    html.Button(n["name"], className="name trunc", title=n["name"], **{"data-open": n["id"]}),
                    html.Span(f"{words.kind(n)} · {n['namespace']}", className="muted trunc"),
                    html.Div(className="grow"),
                    health(n["health"]),
                    html.Span(
                        words.ago(n["health_since"]), className="muted", title=words.stamp(n["health_since"])
                    ),
                ],
                className="line",
            ),
            html.Div(error, className="mono said", title=error),
            html.Div(
                [
                    html.Span([ic("users-group"), owner], className="fact"),
                    html.Span([ic("topology-star-3"), *_radius(n["id"])], className="fact"),
                    html.Div(className="grow"),
                    html.A(
                        ["Log", ic("external-link")],
                        href=log,
                        target="_blank",
                        rel="noopener noreferrer",
                        className="btn small",
                    )
                    if log and log.startswith(("http://", "https://"))
                    else None,
                    dcc.Link(
                        [ic("sitemap"), "Lineage"],
                        href=f"/lineage?node={n['id']}&down=2",
                        className="btn small",
                    ),
                    dcc.Link(
                        [ic("topology-star-3"), "Blast radius"],
                        href=f"/impact?node={n['id']}",
                        className="btn small primary",
                    ),
                ],
                className="line facts",
            ),
        ],
        className=f"root c-{'root' if n['health'] == 'failed' else 'late'}",
    )


def _last_bad_run(id_: str) -> dict[str, Any] | None:
    runs = nodes.runs(_deps.dlv(), id_, 3)["items"]
    return next((r for r in runs if r["state"] == "FAIL"), None)


def _radius(id_: str) -> list[Any]:
    """'takes down 13 nodes in 4 hops, of 2 teams'."""
    try:
        found = impact.impact(_deps.dlv(), id_, limit=1)
    except GraphAway:
        return ["Blast radius unknown while the graph is away"]
    if not found["total"]:
        return ["Nothing lies downstream"]
    hops = found["by_hop"][-1]["key"]
    said = f" downstream, as far as {words.many(hops, 'hop')}"
    teams = sum(t["key"] is not None for t in found["by_team"])
    return [
        html.B(words.many(found["total"], "node")),
        said + (f", {words.many(teams, 'team')}" if teams else ""),
    ]


def at_risk(now: dict[str, Any]) -> list[Component]:
    """What the root causes will reach next, the most critical first."""
    if not now["at_risk"]:
        return []
    found = nodes.page(_deps.dlv(), {"health": ["at_risk"]}, AT_RISK, sort="criticality")["items"]
    rows = [
        html.Tr(
            [
                html.Td(
                    html.Button(
                        [sys(n), html.B(n["name"], className="trunc")],
                        className="cell",
                        **{"data-open": n["id"]},
                    )
                ),
                html.Td(words.kind(n), className="muted"),
                html.Td(n["owner_name"] or "—"),
                html.Td(words.sla(n)),
                html.Td(n["criticality"] or "—"),
                html.Td(health(n["health"])),
            ]
        )
        for n in found
    ]
    heads = ("Node", "Kind", "Owner", "SLA", "Criticality", "Own health")
    more = now["at_risk"] - len(found)
    return [
        html.Section(
            [
                html.H2(f"At risk · {now['at_risk']:,}"),
                html.Div(
                    html.Table(
                        [html.Thead(html.Tr([html.Th(h, scope="col") for h in heads])), html.Tbody(rows)],
                        className="list",
                    ),
                    className="sheet",
                ),
                html.P(f"and {more:,} more; the blast radius of a root cause lists them.", className="muted")
                if more > 0
                else None,
            ]
        )
    ]
