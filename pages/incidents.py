"""Incidents in a list: what is open, the worst first; resolved ones by when they began. What is asked stands in the URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import dash
from dash import Input, Output, State, callback, dcc, html
from dash.development.base_component import Component

from answers import incidents, nodes, wall
from errors import DlvError
from pages import _canvas, _deps, _incident
from pages import _words as words
from pages._icons import ic

dash.register_page(__name__, path="/incidents", title="Incidents · DLV")

#: lines a page
PAGE = 50
STATUSES = (("open", "Open"), ("resolved", "Resolved"), ("all", "All"))
#: what the URL may say
ASKED = ("status", "severity", "team", "mine", "environment", "cursor")


def layout(**params: Any) -> Component:
    asked = {k: params[k] for k in ASKED if params.get(k)}
    return html.Div(
        [
            html.Header(
                [
                    html.Div([html.H1("Incidents"), html.P("One root cause, one incident.", className="muted")], className="grow"),
                ],
                className="list-head",
            ),
            html.Div(id="incidents-body"),
            dcc.Store(id="incidents-ask", data=asked),
        ],
        className="pad incidents",
    )  # fmt: skip


@callback(
    Output("incidents-body", "children"),
    Input("incidents-ask", "data"),
    Input("pulse", "data"),
    State("incidents-ask", "data"),
)
def show(_: object, __: object, asked: Mapping[str, Any] | None) -> Any:
    """The filters as links, then a page of the list."""
    said = dict(asked or {})
    try:
        found = _found(said)
        counts = wall.open_incidents(_deps.dlv(), _many(said, "environment"))
        teams = nodes.options(_deps.dlv())["team"]
    except DlvError as e:
        return _canvas.failed(e)
    rows = [_incident.line(i) for i in found["items"]]
    body: Any = html.Ul(rows, className="wall-broken list-of") if rows else _nothing(said, counts["open"])
    more = None
    if found["next"]:
        more = dcc.Link(
            f"The next {PAGE}", href=_href(said | {"cursor": found["next"]}), className="btn small"
        )
    return [_filters(said, counts, teams), body, html.Div(more, className="more-row") if more else None]


def _found(said: Mapping[str, Any]) -> dict[str, Any]:
    status = _one(said, "status") or "open"
    filters: dict[str, Any] = {"status": list(incidents.STATUSES[:2]) if status == "all" else [status]}
    severities = [s for s in _many(said, "severity") if s in "1234"]
    if severities:
        filters["severity"] = severities
    if _one(said, "team"):
        filters["team"] = [_one(said, "team")]
    if _one(said, "mine") == "nobody":
        filters["acknowledged"] = False
    if environments := _many(said, "environment"):
        filters["environment"] = environments
    return incidents.page(
        _deps.dlv(),
        filters,
        PAGE,
        _one(said, "cursor") or None,
        sort="severity" if status == "open" else "opened",
    )


def _one(said: Mapping[str, Any], key: str) -> str:
    many = _many(said, key)
    return many[-1] if many else ""


def _many(said: Mapping[str, Any], key: str) -> list[str]:
    value = said.get(key) or []
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _href(said: Mapping[str, Any]) -> str:
    kept = {k: v for k, v in said.items() if v}
    return "/incidents" + (f"?{urlencode(kept, doseq=True)}" if kept else "")


def _filters(said: Mapping[str, Any], counts: Mapping[str, Any], teams: list[dict[str, Any]]) -> Component:
    base = {k: v for k, v in said.items() if k != "cursor"}
    status, severity, team = _one(said, "status") or "open", _one(said, "severity"), _one(said, "team")

    def seg(label: Any, on: bool, **change: str | None) -> Component:
        return dcc.Link(
            label, href=_href({**base, **change}), className="seg" + (" on" if on else ""), **({"title": "Shown now"} if on else {})
        )  # fmt: skip

    by = counts["by_severity"]
    chosen = [t for t in teams if t["n"]][:12]
    return html.Div(
        [
            html.Div(
                [
                    seg(f"{label} {counts['open']:,}" if key == "open" else label, status == key, status=None if key == "open" else key)
                    for key, label in STATUSES
                ],
                className="switch",
            ),
            html.Div(
                [seg("Any severity", not severity, severity=None)]
                + [
                    seg(f"SEV {n}" + (f" · {by[n]:,}" if status == "open" else ""), severity == n, severity=n)
                    for n in ("1", "2", "3", "4")
                ],
                className="switch",
            ),
            html.Div(
                [
                    seg("Anybody", not _one(said, "mine"), mine=None),
                    seg(f"Nobody is on it {counts['unacknowledged']:,}" if status == "open" else "Nobody took it", _one(said, "mine") == "nobody", mine="nobody"),
                ],
                className="switch",
            ),
            html.Details(
                [
                    html.Summary([ic("users-group"), team or "Any team"], className="btn small"),
                    html.Ul(
                        [html.Li(dcc.Link("Any team", href=_href({**base, "team": None})))]
                        + [html.Li(dcc.Link(t["name"], href=_href({**base, "team": t["name"]}))) for t in chosen]
                        + [html.Li(dcc.Link("Nobody's", href=_href({**base, "team": "none"})))],
                    ),
                ],
                className="choose",
            ),
        ],
        className="wall-tools",
    )  # fmt: skip


def _nothing(said: Mapping[str, Any], here: int) -> Component:
    """Why the list is empty. ``here``: what is open in the environments that are chosen; others must not seem calm, too."""
    plain = not (set(said) - {"status", "environment"})
    if plain and (_one(said, "status") or "open") == "open":
        environments = _many(said, "environment")
        elsewhere = wall.open_incidents(_deps.dlv())["open"] - here if environments else 0
        within = f" in {' or '.join(environments)}" if environments else ""
        return html.Div(
            [
                ic("circle-check"),
                html.H2(f"No incident is open{within}"),
                html.P(
                    f"{words.many(elsewhere, 'incident is', 'incidents are')} open in other environments: choose them above."
                    if elsewhere
                    else "A node that fails or is late opens one, with everything that it takes down."
                ),
                dcc.Link("Resolved ones", href="/incidents?status=resolved", className="btn small"),
            ],
            className="empty well",
        )
    return html.Div(
        [ic("filter"), html.H2("No incident matches"), html.P("Take a filter away.")], className="empty"
    )
