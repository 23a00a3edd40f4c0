"""What a red tile's reader asks first: which root cause, what it said, the way from it, what it takes down, who to
call. Stands at the top of the drawer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from pages import _words as words
from pages._icons import glyph, ic, role, sys

#: teams and lines of contact that are told; the blast radius has all
TEAMS, CONTACTS, HOPS = 5, 8, 8


def place(said: Mapping[str, Any]) -> list[Component]:
    """``said`` as `answers.wall.why` has it; nothing where there is nothing to ask."""
    n = said["node"]
    found = said["causes"]
    parts: list[Component | None] = [
        _incident(said["incident"]),
        *[_cause(c, n, first=i == 0) for i, c in enumerate(found)],
        html.P(f"and {words.many(said['more'], 'more root cause')} above it", className="muted")
        if said["more"]
        else None,
        html.P(f"{said['reason']}: root causes above this node are not known now.", className="notice")
        if said["reason"] and n["role"] is None
        else None,
        _radius(found[0], said["blast"]) if found and said["blast"] else None,
        _call(said["call"]) if found else None,
    ]
    return [p for p in parts if p is not None]


def _incident(i: Mapping[str, Any] | None) -> Component | None:
    if i is None:
        return None
    taken = i["assignee"] or i["acknowledged_by"]
    return dcc.Link(
        [
            severity(i["severity"]),
            html.B(f"INC-{i['number']}"),
            html.Span(f"Taken by {taken}" if taken else "Nobody is on it", className="grow trunc"),
            ic("arrow-right"),
        ],
        href=f"/incidents/{i['id']}",
        className="why-incident" + ("" if taken else " nobody"),
    )


def severity(n: int) -> Component:
    """SEV 1, the worst, to SEV 4."""
    return html.Span(f"SEV {n}", className=f"sev s{n}", title=f"Severity {n} of 4, 1 is the worst")


def _cause(c: Mapping[str, Any], me: Mapping[str, Any], *, first: bool) -> Component:
    """One root cause. Where it is the node itself its name is on top already."""
    own = c["id"] == me["id"]
    log = c["log_url"]
    state = "root" if c["health"] == "failed" else "late"
    head: list[Any] = []
    if not own:
        head = [
            html.Div(
                [
                    role("root"),
                    html.Span(words.HEALTH[c["health"]].lower(), className="muted"),
                    html.Span(words.ago(c["health_since"]), className="muted"),
                ],
                className="line",
            ),
            html.Button(
                [sys(c), html.B(c["name"]), html.Span(words.kind(c), className="muted")],
                className="cell",
                title=f"{c['name']} in {c['namespace']}",
                **{"data-open": c["id"]},
            ),
        ]
    else:
        head = [html.B(f"{words.HEALTH[c['health']]} {words.ago(c['health_since'])}")]
    return html.Div(
        [
            *head,
            html.Div(c["error"] or "No error was sent", className="mono said", title=c["error"]),
            html.Div(
                [
                    html.Span([ic("users-group"), c["owner_name"] or "Nobody owns it"], className="fact"),
                    html.A(
                        ["Open the log ", ic("external-link")],
                        href=log,
                        target="_blank",
                        rel="noopener noreferrer",
                        className="link",
                    )
                    if log and log.startswith(("http://", "https://"))
                    else None,
                ],
                className="line facts",
            ),
            _path(c["path"], me) if not own and c["path"] else None,
        ],
        className=f"why-cause c-{state}" + ("" if first else " further"),
    )


def _path(path: Sequence[Mapping[str, Any]], me: Mapping[str, Any]) -> Component:
    """From the cause to the node, every step a click away."""
    if len(path) > HOPS:
        path = [*path[: HOPS // 2], {}, *path[-HOPS // 2 :]]  # the ends matter: where it began, and here
    steps = []
    for n in path:
        if not n:
            steps.append(html.Li("…", className="muted"))
            continue
        mark = glyph(n["role"] or n["health"])
        short = n["name"].rsplit("/", 1)[-1].rsplit(".", 1)[-1]
        here = {"aria-current": "true"} if n["id"] == me["id"] else {}
        steps.append(
            html.Li(
                html.Button(
                    [mark, short, html.Small(n["kind"], className="muted") if n["type"] == "job" else None],
                    className=f"step c-{n['role'] or n['health']}",
                    title=f"{words.kind(n)} {n['name']}",
                    **{"data-open": n["id"], **here},
                )
            )
        )
    return html.Ol(steps, className="why-path", **{"aria-label": "From the root cause to here"})


def _radius(cause: Mapping[str, Any], blast: Mapping[str, Any]) -> Component:
    """How many nodes lie below the cause, by hop."""
    total, hops = blast["total"], blast["by_hop"]
    if not total:
        return html.Section([html.H2("Blast radius"), html.P("Nothing lies downstream.", className="muted")])
    most = max(h["n"] for h in hops)
    rows = [
        html.Li(
            [
                html.Span(f"Hop {h['key']}", className="muted"),
                html.Span(
                    html.I(
                        className=f"hop-{min(h['key'], 5)}",
                        style={"width": f"{max(3, 100 * h['n'] / most):.0f}%"},
                    ),
                    className="track",
                ),
                html.B(f"{h['n']:,}"),
            ]
        )
        for h in hops[:HOPS]
    ]
    if len(hops) > HOPS:
        rows.append(html.Li(html.Span(f"as far as hop {hops[-1]['key']}", className="muted")))
    return html.Section(
        [
            html.H2(
                [
                    html.Span(f"Blast radius · {words.many(total, 'node')}"),
                    html.Span(className="grow"),
                    dcc.Link("All of it", href=f"/impact?node={cause['id']}", className="link"),
                ]
            ),
            html.Ul(rows, className="why-hops"),
        ]
    )


def _call(teams: Sequence[Mapping[str, Any]]) -> Component:
    """Who owns the cause, then who is hit, with how to reach them."""
    if not teams:
        return html.Section(
            [
                html.H2("Who to call"),
                html.P("No team owns the cause or what it takes down.", className="muted"),
            ]
        )
    rows = [team(t) for t in teams[:TEAMS]]
    if len(teams) > TEAMS:
        rows.append(html.Li(f"and {words.many(len(teams) - TEAMS, 'more team')}", className="muted"))
    return html.Section([html.H2("Who to call"), html.Ul(rows, className="why-call")])


def team(t: Mapping[str, Any]) -> Component:
    """A team with its people and channels; what can be written to is a link."""
    why = "owns the root cause" if t["owns"] else f"{words.many(t['hit'], 'node')} hit"
    return html.Li(
        [
            html.Div([html.B(t["name"]), html.Span(why, className="muted")], className="line"),
            html.Div([contact(c) for c in [*t["channels"], *t["people"]][:CONTACTS]], className="contacts"),
        ],
        className="owns" if t["owns"] else "",
    )


def contact(said: Mapping[str, str]) -> Component:
    """A person ({name, email}) or a channel ({kind, target}) of a team."""
    address = said.get("email") or said.get("target") or ""
    kind = said.get("kind", "email")
    word = said.get("name") or address
    label = word if kind == "email" else f"{kind.capitalize()} {word}"
    if kind == "email" and "@" in address:
        return html.A(label, href=f"mailto:{address}", className="link", title=address)
    if kind == "phone":
        return html.A(label, href=f"tel:{address}", className="link")
    return html.Span(label)


def bad_role(n: Mapping[str, Any]) -> bool:
    """Whether there is something to ask about this node."""
    return n["role"] in ("root", "symptom", "at_risk") or n["health"] in ("failed", "late")
