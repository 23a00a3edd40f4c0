"""One incident, on a desk and on a phone: what broke and why, whom it hits, and what a responder does about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dash
from dash import Input, Output, State, callback, dcc, html, no_update
from dash.development.base_component import Component

import auth
from answers import incidents, wall
from errors import DlvError, Invalid, NotFound
from pages import _canvas, _deps, _forms, _incident, _why
from pages import _words as words
from pages._forms import Done, Opened, Said
from pages._icons import ic
from store import incidents as store
from store import teams

dash.register_page(__name__, path_template="/incidents/<incident>", title="Incident · DLV")

FORM = "respond"
#: minutes that a silence may last, as people choose it
MINUTES = (("60", "1 hour"), ("240", "4 hours"), ("1440", "1 day"), ("10080", "1 week"))


def layout(incident: str = "", **_: Any) -> Component:
    return html.Div(
        [
            html.Div(id="incident-body", className="incident-body"),
            dcc.Store(id="incident-ask", data=incident),
            dcc.Store(id="incident-said"),
            dcc.Store(id="incident-mark"),
            *DIALOG.place(),
        ],
        className="pad incident",
    )


@callback(
    Output("incident-body", "children"),
    Output("incident-mark", "data"),
    Input("incident-ask", "data"),
    Input("incident-said", "data"),
    Input(f"{FORM}-fresh", "data"),
    Input("beat", "data"),
    State("incident-mark", "data"),
)
def show(asked: str | None, _: object, __: object, ___: object, mark: str | None) -> tuple[Any, Any]:
    """The page; drawn again only where the incident, a member or a minute has changed."""
    try:
        found = incidents.get(_deps.dlv(), asked or "")
    except NotFound:
        return _nowhere(), None
    except DlvError as e:
        return _canvas.failed(e), None
    now = f"{found['id']} {found['changed_at']} {found['version']} {found['members']} {found['severity']} {datetime.now(UTC):%H:%M}"
    if now == mark:
        return no_update, no_update
    return page(found), now


def _nowhere() -> Component:
    return html.Div(
        [
            ic("alert-triangle"),
            html.H2("No such incident"),
            html.P("The link is wrong, or the incident was removed."),
            dcc.Link("Open incidents", href="/incidents", className="btn primary"),
        ],
        className="empty",
    )


def page(i: Mapping[str, Any]) -> list[Any]:
    """All of it: what to do first, then cause, severity, radius, members, who to call, timeline."""
    hit = {t["id"]: t["n"] for t in i["blast"].get("teams") or [] if t.get("id")}
    owner = i["owner"] or (i["root"] or {}).get("owner")
    lines = i["timeline"]
    return [
        _head(i),
        _acts(i),
        *_incident.others(i),
        html.Div(
            [
                html.Div([_incident.cause(i), _incident.members(i), _note(i), _incident.timeline(lines["items"][: _incident.LINES], bool(lines["next"]) or len(lines["items"]) > _incident.LINES)]),
                html.Div([_incident.why(i), _incident.blast(i), _incident.call(wall.call(_deps.dlv(), owner, hit))]),
            ],
            className="incident-grid",
        ),
    ]  # fmt: skip


def _head(i: Mapping[str, Any]) -> Component:
    said = [words.stamp(i["opened_at"]), f"began {words.ago(i['opened_at'])}"]
    if i["resolved_at"]:
        said = [f"lasted {words.lasted(_lasted(i))}", f"resolved {words.ago(i['resolved_at'])}"]
    if i["reopened"]:
        said.append(f"reopened {words.many(i['reopened'], 'time')}")
    return html.Header(
        [
            html.Div(
                [
                    dcc.Link([ic("chevron-left"), "Incidents"], href="/incidents", className="link back"),
                    _why.severity(i["severity"]),
                    html.B(i["name"]),
                    _incident.state(i),
                ],
                className="line",
            ),
            html.H1(i["title"]),
            html.P(
                [
                    " · ".join(said),
                    f" · told {words.ago(i['told_at'])}" if i["told_at"] else " · nobody has been told",
                ],
                className="muted",
            ),
            html.Div(
                [
                    html.Span([ic("users-group"), i["owner_name"] or "Nobody owns it"], className="fact"),
                    _incident.taken(i),
                ],
                className="line facts",
            ),
        ],
        className="incident-head",
    )


def _lasted(i: Mapping[str, Any]) -> float | None:
    """Seconds from its beginning to its resolution."""
    began, ended = words.when(i["opened_at"]), words.when(i["resolved_at"])
    return (ended - began).total_seconds() if began and ended else None


def _acts(i: Mapping[str, Any]) -> Component:
    """Acknowledge large, everything else beside it."""
    take = html.A(
        [ic("download"), "Postmortem"],
        href=f"/api/v1/incidents/{i['id']}/postmortem?download=true",
        download=f"{i['name']}.md",
        className="btn",
    )
    if not _deps.can("responder"):
        return html.Div([take], className="incident-acts")
    acts: list[Any] = []
    if i["status"] == "open":
        done = i["acknowledged_by"]
        acts = [
            html.Button(
                [ic("circle-check"), f"Acknowledged by {done}" if done else "Acknowledge"],
                id="incident-ack",
                className="btn big" + (" done" if done else " primary"),
                disabled=bool(done),
            ),
            html.Button("Take it back", id="incident-unack", className="btn" + ("" if done else " gone")),
            _act("assign", "Assign", "user", i),
            _act("silence", "Silence", "eye-off", i),
            _act("resolve", "Resolve", "circle-check", i),
        ]
    return html.Div(
        [*acts, take, html.Div(id="incident-error", className="form-error", role="alert")],
        className="incident-acts",
    )


def _act(mode: str, label: str, icon: str, i: Mapping[str, Any]) -> Component:
    return html.Button(
        [ic(icon), label], className="btn", **{"data-ask-dialog": FORM, "data-mode": mode, "data-id": i["id"]}
    )


def _note(i: Mapping[str, Any]) -> Component | None:
    if not _deps.can("responder"):
        return None
    return html.Button(
        [ic("message"), "Write into the timeline"],
        className="btn note-open",
        **{"data-ask-dialog": FORM, "data-mode": "comment", "data-id": i["id"]},
    )


@callback(
    Output("incident-said", "data"),
    Output("incident-error", "children"),
    Input("incident-ack", "n_clicks"),
    Input("incident-unack", "n_clicks"),
    State("incident-ask", "data"),
    prevent_initial_call=True,
)
@auth.requires("responder")
def acknowledge(n: int | None, m: int | None, asked: str | None) -> tuple[Any, Any]:
    """Somebody is on it, or is not any more. Told in the timeline and the audit."""
    if not n and not m:
        return no_update, no_update
    back = dash.ctx.triggered_id == "incident-unack"
    try:
        with _deps.dlv().record.tx() as conn:
            id_ = incidents.resolve(conn, asked or "")
            (store.unacknowledge if back else store.acknowledge)(conn, auth.actor(), id_)
    except DlvError as e:
        return no_update, _forms.sentence(e.message)
    wall.forget(_deps.dlv().record)
    return datetime.now(UTC).isoformat(), ""


# ---------------------------------------------------------------- forms


def _row(id_: str | None) -> dict[str, Any]:
    return incidents.get(_deps.dlv(), id_ or "")


def open_assign(id_: str | None, _: Mapping[str, int]) -> Opened:
    i = _row(id_)
    with _deps.dlv().record.tx() as conn:
        known = [{"value": str(t["id"]), "label": t["name"]} for t in teams.page(conn, limit=500)]
    who = _deps.user()
    return Opened(
        [
            _forms.text(
                FORM, "assignee", "Person", i["assignee"], description=f"You are {who.name}" if who else None
            ),
            _forms.choice(FORM, "owner_id", "Team", known, i["owner"], searchable=True, clearable=True),
        ],
        {"assignee": i["assignee"] or "", "owner_id": i["owner"]},
        i["version"],
        f"Assign {i['name']}",
    )


def assign(said: Said) -> Done:
    if not said.changed:
        return Done("Nothing was changed")
    changes = {k: v or None for k, v in said.changed.items()}
    with _deps.dlv().record.tx() as conn:
        id_ = incidents.resolve(conn, said.id or "")
        row = store.assign(conn, auth.actor(), id_, changes, said.version)
    return Done(f"Assigned to {row['assignee'] or 'nobody'}")


def open_comment(id_: str | None, _: Mapping[str, int]) -> Opened:
    return Opened([_forms.area(FORM, "text", "What should the next person know?", minRows=4)], {})


def comment(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        store.comment(
            conn, auth.actor(), incidents.resolve(conn, said.id or ""), said.values.get("text") or ""
        )
    return Done("It is in the timeline")


def open_silence(id_: str | None, _: Mapping[str, int]) -> Opened:
    i = _row(id_)
    name = (i["root"] or i["producer"])["name"]
    return Opened(
        [
            _forms.statement(f"Nobody is told about {name} until then. If it is open still, people are told at the end."),
            _forms.choice(FORM, "minutes", "For", [{"value": v, "label": said} for v, said in MINUTES], "60", allowDeselect=False),
            _forms.text(FORM, "reason", "Why", "", withAsterisk=True),
        ],
        {},
        None,
        f"Silence {i['name']}",
    )  # fmt: skip


def silence(said: Said) -> Done:
    minutes = int(said.values.get("minutes") or 60)
    if not str(said.values.get("reason") or "").strip():
        raise Invalid("say why, for who comes later", field="reason")
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    with _deps.dlv().record.tx() as conn:
        id_ = incidents.resolve(conn, said.id or "")
        store.silence(conn, auth.actor(), id_, until, str(said.values["reason"]))
    return Done(f"Silenced until {until:%H:%M} UTC")


def open_resolve(id_: str | None, _: Mapping[str, int]) -> Opened:
    i = _row(id_)
    still = i["members"]["failed"] + i["members"]["late"]
    text = (
        f"{words.many(still, 'member')} of it did not recover."
        if still
        else "All its members have recovered."
    )
    return Opened(
        [
            _forms.statement(text, "A member that breaks anew soon opens it again."),
            _forms.text(FORM, "reason", "Why is it over?", "", withAsterisk=True),
        ],
        {},
        i["version"],
        f"Resolve {i['name']}?",
    )


def resolve(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        id_ = incidents.resolve(conn, said.id or "")
        store.resolve(conn, auth.actor(), id_, str(said.values.get("reason") or ""), said.version)
    return Done("It is resolved")


DIALOG = _forms.Dialog(
    FORM,
    {
        "assign": _forms.Action("Assign", open_assign, assign, "Assign"),
        "comment": _forms.Action("Write into the timeline", open_comment, comment, "Write"),
        "silence": _forms.Action("Silence", open_silence, silence, "Silence"),
        "resolve": _forms.Action("Resolve?", open_resolve, resolve, "Resolve", danger=True),
    },
    fresh=True,
    role="responder",
    size=520,
)
