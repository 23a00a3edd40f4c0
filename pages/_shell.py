"""The frame around every page: sidebar, header with search and counts, drawer, both schemes.

A later page is one line in :data:`NAV`. A line shows up as soon as a page is registered at its address, so that the
list can name what is still to come.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, callback, clientside_callback, dcc, html, no_update
from dash.development.base_component import Component

from answers import status, wall
from errors import DlvError
from pages import _deps, _drawer, _search
from pages import _words as words
from pages._icons import glyph, ic
from store import parts
from store import standing as standing_of

#: milliseconds between two looks at what has changed
BEAT = 5_000


@dataclass(frozen=True)
class Nav:
    """One line of the sidebar. ``role``: who sees it."""

    label: str
    path: str
    icon: str
    section: str = ""
    role: str = "viewer"


NAV = [
    Nav("Health", "/", "layout-dashboard"),
    Nav("Incidents", "/incidents", "alert-triangle"),
    Nav("Lineage", "/lineage", "sitemap"),
    Nav("Impact", "/impact", "topology-star-3"),
    Nav("Paths", "/paths", "route"),
    Nav("Catalog", "/catalog", "books"),
    Nav("Checks", "/checks", "heart-rate-monitor"),
    Nav("Silences", "/silences", "bell-off"),
    Nav("Nodes", "/admin/nodes", "schema", "Admin", "admin"),
    Nav("Edges", "/admin/edges", "vector", "Admin", "admin"),
    Nav("Teams", "/admin/teams", "users-group", "Admin", "admin"),
    Nav("Connections", "/admin/connections", "plug-connected", "Admin", "admin"),
    Nav("Alerts", "/admin/alerts", "bell", "Admin", "admin"),
    Nav("Assign by file", "/admin/import", "file-type-csv", "Admin", "admin"),
    Nav("Users", "/admin/users", "users", "Admin", "admin"),
    Nav("API keys", "/admin/keys", "key", "Admin", "admin"),
    Nav("Naming rules", "/admin/rules", "abc", "Admin", "admin"),
    Nav("Audit", "/admin/audit", "history", "Admin", "admin"),
]


def layout() -> Component:
    """The whole frame. Called for every page load, and once at start without a request."""
    return dmc.MantineProvider(
        id="scheme-provider",
        theme=_THEME,
        children=html.Div(
            [
                html.A("Skip to the page", href="#page", className="skip"),
                html.Div(
                    [_top(), _side(), _main(), _drawer.place()],
                    className="shell",
                ),
                _search.modal(),
                dcc.Interval(id="tick", interval=BEAT),
                dcc.Store(id="beat"),
                dcc.Store(id="beat-busy", data=False),
                dcc.Store(id="pulse"),
                dcc.Store(id="canvas-saved"),
                dcc.Store(id="shell-nil"),
                dcc.Store(id="env-nil"),
            ]
        ),
    )


#: Mantine's part of the tokens; colours come from css/1-tokens.css, for both schemes
_THEME: dict[str, Any] = {
    "primaryColor": "indigo",
    "fontFamily": "Inter, system-ui, sans-serif",
    "defaultRadius": "md",
    "respectReducedMotion": True,
}


def _top() -> Component:
    return html.Header(
        [
            dcc.Link(
                [html.Span(ic("affiliate"), className="mark"), html.Span("DLV")],
                href="/",
                className="brand",
            ),
            html.Button(
                [
                    ic("search"),
                    html.Span("Find a table, topic, job, owner, tag", className="trunc"),
                    html.Kbd("Ctrl K"),
                ],
                id="search-open",
                className="find",
                **{"aria-haspopup": "dialog", "aria-keyshortcuts": "Control+K"},
            ),
            dmc.Select(
                id="env",
                data=[],
                value="",
                allowDeselect=False,
                searchable=False,
                size="xs",
                className="env gone",
                comboboxProps={"shadow": "md"},
                **{"aria-label": "Environment"},
            ),
            html.Div(className="grow"),
            html.Nav(id="counts", className="counts", **{"aria-label": "What is broken now"}),
            html.Button(
                [
                    html.Span(ic("moon"), className="only-light"),
                    html.Span(ic("sun"), className="only-dark"),
                ],
                id="scheme-toggle",
                className="iconbtn",
                title="Light or dark",
                **{"aria-label": "Change between light and dark"},
            ),
            _who(),
        ],
        className="top",
    )


def _who() -> Component:
    who = _deps.user()
    name = (who.display_name or who.name) if who else "?"
    initials = "".join(w[0] for w in name.replace(".", " ").split()[:2]).upper() or "?"
    return dmc.Menu(
        [
            dmc.MenuTarget(html.Button(initials, className="who", **{"aria-label": f"Signed in as {name}"})),
            dmc.MenuDropdown(
                [
                    dmc.MenuLabel(f"{name} · {who.role}" if who and who.role else name),
                    dmc.MenuItem("Sign out", leftSection=ic("logout"), id="sign-out", n_clicks=0),
                ]
            ),
        ],
        position="bottom-end",
        shadow="md",
        width=200,
    )


def _side() -> Component:
    there = {page["path"] for page in dash.page_registry.values()}
    shown = [n for n in NAV if n.path in there and (n.role == "viewer" or _deps.can(n.role))]
    out: list[Component] = []
    section = ""
    for item in shown:
        if item.section != section:
            section = item.section
            out.append(html.H2(html.Span(section)))
        out.append(
            dcc.Link(
                [ic(item.icon), html.Span(item.label)], href=item.path, className="nav", title=item.label
            )
        )
    return html.Nav(out, id="side", className="side", **{"aria-label": "Pages"})


def _main() -> Component:
    return html.Main(
        [html.Div(id="away", role="status"), dash.page_container], id="page", className="main", tabIndex="-1"
    )


@callback(
    Output("counts", "children"),
    Output("away", "children"),
    Output("pulse", "data"),
    Input("beat", "data"),
    State("pulse", "data"),
    State("env", "value"),
    running=[(Output("beat-busy", "data"), True, False)],
)
def beat(_: object, last: str | None, environment: str | None) -> tuple[Any, Any, Any]:
    """What the header counts, from the one query of all counts, and what part of DLV is away.

    ``pulse`` changes when health or standing did, and once a minute for what says how long ago something was: pages
    listen to it, so that a beat in which nothing happened costs them nothing.
    """
    try:
        now = status.counts(_deps.dlv(), [environment] if environment else [])
        standing = status.standing(_deps.dlv())
    except DlvError as e:
        return no_update, notice(f"{e.message}. The page shows what it last knew."), no_update
    health = [now[k] for k in ("failed", "late", "warn", "ok", "unknown", "total", "running")]
    minute = int(time.time() // 60)
    down = sorted(name for name, part in now["parts"].items() if not part["ok"]), now.get("nobody_told")
    pulse = f"{hash((standing.roots, standing.symptoms, standing.at_risk)):x} {health} {minute} {now['reason']} {down} {environment}"
    if pulse == last:
        return no_update, no_update, no_update
    return counts(now), away(now), pulse


@callback(
    Output("env", "data"),
    Output("env", "value"),
    Output("env", "className"),
    Input("env", "id"),
    State("_pages_location", "search"),
)
def environments(_: object, search: str | None) -> tuple[Any, Any, Any]:
    """What the header's field offers: shown where there is more than one environment to choose from."""
    asked = parse_qs((search or "").lstrip("?")).get("environment", [])
    try:
        with _deps.dlv().record.tx() as conn:
            known = standing_of.environments(conn)
    except DlvError:
        known = []
    data = [
        {"value": "", "label": "All environments"},
        *({"value": e, "label": e} for e in sorted({*known, *asked})),
    ]
    return data, asked[0] if len(asked) == 1 else "", "env" if len(known) > 1 or asked else "env gone"


def counts(now: dict[str, Any]) -> list[Component]:
    """The header's pills: root causes, then own health, then what is at risk. Unknown while the graph is away."""
    lines = [
        ("root", now["roots"], "root cause", "root causes", "/"),
        ("failed", now["failed"], "failed", "failed", "/catalog?health=failed"),
        ("late", now["late"], "late", "late", "/catalog?health=late"),
        ("at_risk", now["at_risk"], "at risk", "at risk", "/catalog?health=at_risk"),
    ]
    out = []
    for state, n, one, more, href in lines:
        said = "?" if n is None else f"{n:,}"
        word = one if n == 1 else more
        out.append(
            dcc.Link(
                [glyph(state), html.B(said), html.Span(word, className="word")],
                href=href,
                className=f"count c-{state}" + (" zero" if n == 0 else ""),
                title=f"{said} {word}" + (f": {now['reason']}" if n is None else ""),
            )
        )
    return out


def away(now: dict[str, Any]) -> list[Component]:
    """A line for each part of DLV that is away: since when, and what that means. Empty while all work."""
    out = []
    graph = now["parts"]["graph"]
    if graph["rebuild"]:
        done, total = graph["rebuild"].get("done", 0), graph["rebuild"].get("total", 0)
        out.append(
            notice(f"The graph is being rebuilt: {done:,} of {total:,}. Pages go on with the one before.")
        )
    elif not graph["ok"]:
        out.append(
            notice(
                f"The graph is away since {words.stamp(graph['since'])}. The map is drawn from the record; root causes, "
                "what is at risk, and impact come back with the graph."
            )
        )
    for part, (_, means) in wall.PARTS.items():
        said = now["parts"].get(part) or {"ok": True}
        if (part in parts.NAMES or part == "queue") and not said["ok"]:
            out.append(notice(f"{said['reason'][:1].upper()}{said['reason'][1:]}: {means}."))
    if now.get("nobody_told"):
        out.append(notice("Incidents are open and nobody is told: no alert rule names a channel."))
    return out


def notice(text: str) -> Component:
    return html.Div([glyph("warn"), html.Span(text)], className="away")


clientside_callback(
    ClientsideFunction("dlv", "tick"),
    Output("beat", "data"),
    Input("tick", "n_intervals"),
    State("beat-busy", "data"),
)
clientside_callback(
    ClientsideFunction("dlv", "environment"),
    Output("env-nil", "data"),
    Input("env", "value"),
)
clientside_callback(
    ClientsideFunction("dlv", "scheme"),
    Output("scheme-provider", "forceColorScheme"),
    Input("scheme-toggle", "n_clicks"),
)
clientside_callback(
    ClientsideFunction("dlv", "where"),
    Output("shell-nil", "data"),
    Input("_pages_location", "pathname"),
    Input("side", "children"),
)
