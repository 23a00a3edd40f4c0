"""How an incident looks in a list and on its page: severity, state, blast radius, members, timeline. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from pages import _why
from pages import _words as words
from pages._icons import glyph, health, ic, sys

#: members, datasets and lines of the timeline that are shown at once
MEMBERS, DATASETS, LINES = 200, 8, 60
STATES = {"open": ("failed", "Open"), "resolved": ("ok", "Resolved"), "merged": ("unknown", "Merged")}
#: which icon a line of the timeline has
_LINES = {
    "opened": "st-failed",
    "joined": "plus",
    "transition": "arrow-right",
    "check": "heart-rate-monitor",
    "run_error": "circle-x",
    "rerooted": "route",
    "linked": "link",
    "severity": "alert-triangle",
    "notified": "bell",
    "acknowledged": "user",
    "assigned": "user",
    "commented": "message",
    "silenced": "eye-off",
    "recovered": "circle-check",
    "resolved": "circle-check",
    "reopened": "refresh",
    "merged": "share-2",
}


def state(i: Mapping[str, Any]) -> Component:
    look, word = STATES[i["status"]]
    return html.Span([glyph(look), word], className=f"st c-{look}")


def taken(i: Mapping[str, Any]) -> Component:
    """Who is on it, or that nobody is."""
    who = i["assignee"] or i["acknowledged_by"]
    if who:
        return html.Span([ic("user"), f"Taken by {who}"], className="fact")
    if i["status"] != "open":
        return html.Span([ic("user"), "Nobody took it"], className="fact")
    return html.Span([ic("bell"), "Nobody is on it"], className="fact nobody")


def counted(i: Mapping[str, Any]) -> str:
    """'50 failed, 150 late, 3 recovered'."""
    m = i["members"]
    said = [f"{m[k]:,} {k}" for k in ("failed", "late", "recovered") if m[k]]
    return ", ".join(said) or "no member"


def radius(i: Mapping[str, Any]) -> str:
    """'212 nodes downstream, 190 at risk'."""
    blast = i["blast"]
    if not blast:
        return (
            "Blast radius not counted: the graph was away"
            if i["graph_away"]
            else "Blast radius not counted yet"
        )
    if not blast.get("total"):
        return "Nothing lies downstream"
    said = f"{words.many(blast['total'], 'node')} downstream"
    return said + (f", {blast['at_risk']:,} at risk" if blast.get("at_risk") else "")


def line(i: Mapping[str, Any]) -> Component:
    """One incident in the list; all of it leads to its page."""
    root = i["root"]
    name = root["name"] if root else (i["producer"] or {}).get("name", "")
    began = words.ago(i["opened_at"])
    return html.Li(
        dcc.Link(
            [
                html.Div(
                    [
                        _why.severity(i["severity"]),
                        html.B(i["name"], className="number"),
                        state(i),
                        html.Span(className="grow"),
                        html.Span(began, className="muted", title=words.stamp(i["opened_at"])),
                    ],
                    className="line",
                ),
                html.Div(
                    [
                        sys(root) if root else ic("plug"),
                        html.B(name, className="name"),
                        html.Span(
                            f"{words.kind(root)} · {root['namespace']}" if root else "Producer of events",
                            className="muted trunc what",
                        ),
                    ],
                    className="line",
                ),
                html.Div(i["error"] or i["title"], className="mono said"),
                html.Div(
                    [
                        html.Span([ic("users-group"), i["owner_name"] or "Nobody owns it"], className="fact"),
                        html.Span([ic("topology-star-3"), radius(i)], className="fact"),
                        html.Span([ic("list"), counted(i)], className="fact"),
                        taken(i),
                    ],
                    className="line facts",
                ),
            ],
            href=f"/incidents/{i['id']}",
            className="incident-link",
        ),
        className=f"broken sev-{i['severity']} c-{'failed' if i['status'] == 'open' else 'unknown'}",
    )


# ---------------------------------------------------------------- the page of one


def cause(i: Mapping[str, Any]) -> Component:
    """Root cause with its error line and the log, on top."""
    root, log = i["root"], i["log_url"]
    if root:
        head: Any = html.Button(
            [sys(root), html.B(root["name"])],
            className="cell",
            title=root["name"],
            **{"data-open": root["id"]},
        )
        below = [
            html.Span(f"{words.kind(root)} · {root['namespace']}", className="muted"),
            health(root["health"]),
        ]
    else:
        producer = i["producer"] or {}
        head = html.Div([ic("plug"), html.B(producer.get("name", "A producer"))], className="cell")
        below = [html.Span("Producer of events; its jobs are unknown while it is quiet", className="muted")]
    return html.Section(
        [
            html.H2("Root cause"),
            head,
            html.Div(below, className="line"),
            html.Pre(i["error"] or i["title"], className="mono said"),
            html.Div(
                [
                    html.A(
                        [ic("external-link"), "Open the log"],
                        href=log,
                        target="_blank",
                        rel="noopener noreferrer",
                        className="btn",
                    )
                    if log and log.startswith(("http://", "https://"))
                    else None,
                    dcc.Link(
                        [ic("sitemap"), "Lineage"], href=f"/lineage?node={root['id']}&down=2", className="btn"
                    )
                    if root
                    else None,
                    dcc.Link(
                        [ic("topology-star-3"), "Blast radius"],
                        href=f"/impact?node={root['id']}",
                        className="btn",
                    )
                    if root
                    else None,
                ],
                className="line facts",
            ),
        ],
        className=f"card cause c-{'failed' if i['status'] == 'open' else 'unknown'}",
    )


def why(i: Mapping[str, Any]) -> Component:
    """Severity, and the reasons for it."""
    return html.Section(
        [
            html.H2([html.Span("Severity "), _why.severity(i["severity"])]),
            html.Ul([html.Li(reason) for reason in i["severity_why"]] or [html.Li("Not weighed yet", className="muted")],
                    className="reasons"),
        ],
        className="card",
    )  # fmt: skip


def blast(i: Mapping[str, Any]) -> Component:
    """How many lie below, by hop, and the datasets whose promise breaks next."""
    said = i["blast"]
    parts: list[Any] = [html.H2("Blast radius"), html.P(html.B(radius(i)))]
    hops = said.get("by_hop") or []
    if hops:
        most = max(h["n"] for h in hops)
        parts.append(html.Ul([_hop(h, most) for h in hops[:8]], className="why-hops"))
    sla = said.get("next_sla")
    if sla:
        parts.append(html.P(["Next SLA to break: ", html.B(sla["name"]), f", {words.stamp(sla['at'])}"]))
    datasets = said.get("datasets") or []
    if datasets:
        parts.append(html.H3("Datasets at risk"))
        parts.append(html.Ul([_dataset(d) for d in datasets[:DATASETS]], className="rows"))
        rest = (said.get("at_risk") or 0) - min(len(datasets), DATASETS)
        if rest > 0 and i["root"]:
            parts.append(
                dcc.Link(
                    f"and {rest:,} more at risk", href=f"/impact?node={i['root']['id']}", className="link"
                )
            )
    return html.Section(parts, className="card")


def _hop(h: Mapping[str, Any], most: int) -> Component:
    bar = html.I(className=f"hop-{min(h['key'], 5)}", style={"width": f"{max(3, 100 * h['n'] / most):.0f}%"})
    return html.Li(
        [
            html.Span(f"Hop {h['key']}", className="muted"),
            html.Span(bar, className="track"),
            html.B(f"{h['n']:,}"),
        ]
    )


def _dataset(d: Mapping[str, Any]) -> Component:
    breaks = d.get("breaks_at")
    return html.Li(
        html.Button(
            [
                sys({"system": d.get("system", ""), "kind": d.get("kind", ""), "type": "dataset"}),
                html.Span([html.Div(d["name"], className="trunc"), html.Div(d.get("team") or "Nobody's", className="muted")], className="grow"),
                html.Span(f"SLA breaks {words.stamp(breaks)}", className="muted") if breaks else None,
            ],
            className="row",
            **{"data-open": d["id"]},
        )
    )  # fmt: skip


def call(teams: Sequence[Mapping[str, Any]]) -> Component:
    """Who is hit and who to call."""
    body: Any = html.P("No team owns the root or what it takes down.", className="muted")
    if teams:
        body = html.Ul([_why.team(t) for t in teams[:12]], className="why-call")
    return html.Section([html.H2("Who to call"), body], className="card")


def members(i: Mapping[str, Any]) -> Component:
    """Failed, late and recovered by hop, the root first."""
    found = i["member_list"]
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for m in found[:MEMBERS]:
        key = -1 if m["role"] == "root" else 9999 if m["hop"] is None else m["hop"]
        groups.setdefault(key, []).append(m)
    parts: list[Any] = [html.H2(f"In this incident · {counted(i)}")]
    for key in sorted(groups):
        title = "Root" if key == -1 else "Hop not known" if key == 9999 else f"Hop {key}"
        parts.append(html.H3(f"{title} · {len(groups[key]):,}" if key != -1 else title))
        parts.append(html.Ul([_member(m) for m in groups[key]], className="rows"))
    if i["members"]["total"] > MEMBERS:
        parts.append(
            html.P(f"and {i['members']['total'] - MEMBERS:,} more; the API lists them.", className="muted")
        )
    return html.Section(parts, className="card")


def _member(m: Mapping[str, Any]) -> Component:
    if m["recovered_at"]:
        now: Any = html.Span([glyph("ok"), "Recovered"], className="st c-ok")
        when = words.ago(m["recovered_at"])
    else:
        now = health(m["was"] if m["was"] in ("failed", "late") else m["health"] or "unknown")
        when = words.ago(m["joined_at"])
    return html.Li(
        html.Button(
            [
                sys(m) if m["system"] else ic("help-circle"),
                html.Span(
                    [
                        html.Div(m["name"], className="trunc"),
                        html.Div(m["owner_name"] or "Nobody's", className="muted trunc"),
                    ],
                    className="grow",
                ),
                html.Span([now, html.Div(when, className="muted")], className="right"),
            ],
            className="row",
            title=m["reason"],
            **{"data-open": m["id"]},
        )
    )


def timeline(lines: Iterable[Mapping[str, Any]], more: bool) -> Component:
    """What happened, the newest first."""
    rows = [
        html.Li(
            [
                ic(_LINES.get(e["kind"], "minus")),
                html.Div(
                    [
                        html.Div(e["text"], className="text" + (" note" if e["kind"] == "commented" else "")),
                        html.Div(
                            [
                                words.stamp(e["at"]), f" · {e['actor']}" if e["actor"] else "", f" · {words.ago(e['at'])}",
                                f" · {e['looks']:,} times until {words.stamp(e['until'])}" if (e["looks"] or 0) > 1 else "",
                            ],
                            className="muted",
                        ),
                    ]
                ),
            ],
            className=f"e-{e['kind']}",
        )
        for e in lines
    ]  # fmt: skip
    tail = [html.P("Older lines are in the postmortem.", className="muted")] if more else []
    return html.Section([html.H2("Timeline"), html.Ol(rows, className="timeline"), *tail], className="card")


def others(i: Mapping[str, Any]) -> list[Component]:
    """Doubtful causes and what took this one over."""
    out = []
    for key, said in (("possibly_caused_by", "Possibly caused by"), ("merged_into", "Merged into")):
        other = i[key]
        if other:
            out.append(
                dcc.Link(
                    [ic("link"), f"{said} ", html.B(other["name"]), html.Span(other["title"], className="trunc grow"), ic("arrow-right")],
                    href=f"/incidents/{other['id']}",
                    className="why-incident",
                )
            )  # fmt: skip
    return out
