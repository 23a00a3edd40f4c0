"""Alerts: who is told of what (rules), how (channels), and what became of it (the delivery log)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import dash
import dash_mantine_components as dmc
from dash import ALL, Input, Output, callback, ctx, dcc, html
from dash.development.base_component import Component

import auth
from alerts import channels, message, routing
from answers import nodes
from errors import Invalid
from pages import _admin, _covers, _declared, _deps, _forms, _grid, _trial
from pages import _node_forms as node_forms
from pages import _words as words
from pages._forms import Done, Opened, Said
from pages._icons import glyph, ic
from store import alert_rules, lists, notifications
from store import channels as channel_store

dash.register_page(__name__, path="/admin/alerts", title="Alerts · DLV")

RULE, CHANNEL, MESSAGE = "alert-rule", "channel", "message"
CHANNELS, LOG = "channels", "deliveries"
TABS = {"rules": "Rules", "channels": "Channels", "log": "Delivery log"}
_SEVERITIES = [
    {"value": "4", "label": "Any severity"},
    {"value": "3", "label": "Severity 1 to 3"},
    {"value": "2", "label": "Severity 1 and 2"},
    {"value": "1", "label": "Severity 1 only"},
]
_KINDS = [{"value": k, "label": v.form.label} for k, v in channels.KINDS.items()]
_STATES = [{"value": "active", "label": "In use"}, {"value": "removed", "label": "Removed"}]
_STATUS = {
    "pending": ("late", "Waits"),
    "delivered": ("ok", "Delivered"),
    "failed": ("failed", "Given up"),
    "silenced": ("unknown", "Silenced"),
    "superseded": ("unknown", "Superseded"),
}
_EVENTS = {
    "trigger": "Began",
    "update": "Changed",
    "acknowledge": "Acknowledged",
    "remind": "Reminder",
    "resolve": "Over",
    "test": "Test",
}


# ---------------------------------------------------------------- rules: the form


def _channel_choices() -> list[dict[str, str]]:
    with _deps.dlv().record.tx() as conn:
        return [
            {"value": str(c["id"]), "label": f"{c['name']} ({channels.KINDS[c['kind']].form.label})"}
            for c in channel_store.page(conn)
        ]


def _environments() -> list[str]:
    return [e["key"] for e in nodes.options(_deps.dlv())["environment"]]


def _rule_values(rule: Mapping[str, Any] | None) -> dict[str, Any]:
    now = rule or {**alert_rules.NEW, "name": ""}
    return {
        "name": now["name"],
        "channels": [str(c) for c in now["channels"]],
        "min_severity": str(now["min_severity"]),
        "environments": list(now["environments"]),
        "group_seconds": "" if now["group_seconds"] is None else now["group_seconds"],
        "repeat_minutes": "" if now["repeat_minutes"] is None else now["repeat_minutes"],
        "stop": "yes" if now["stop"] else "no",
        "enabled": "yes" if now["enabled"] else "no",
    } | _covers.values(now)


def _rule_body(now: Mapping[str, Any]) -> list[Any]:
    default = _deps.dlv().settings.group_seconds
    known = _channel_choices()
    return [
        _forms.text(RULE, "name", "Name", now["name"], withAsterisk=True, placeholder="Finance, at night"),
        html.H3("Of what", className="form-h"),
        _forms.pair(
            _forms.choice(RULE, "min_severity", "Severity", _SEVERITIES, now["min_severity"], allowDeselect=False),
            _forms.several(
                RULE, "environments", "Environments", _environments(), now["environments"],
                clearable=True, placeholder="Any" if not now["environments"] else "",
            ),
        ),
        *_covers.body(RULE, now, "Any"),
        html.P(
            "An incident is told of where one of its nodes, the root or a symptom, meets every condition.",
            className="muted",
        ),
        html.H3("Who is told, and when", className="form-h"),
        _forms.several(
            RULE, "channels", "Channels", known, now["channels"], withAsterisk=True, searchable=True,
            placeholder="Choose" if known else "Make a channel first",
        ),
        _forms.pair(
            _forms.number(
                RULE, "group_seconds", "Gather failures for", now["group_seconds"], min=0, max=3600, suffix=" s",
                placeholder=f"{default} s", allowDecimal=False,
                description="So that many failures are one message",
            ),
            _forms.number(
                RULE, "repeat_minutes", "Tell again every", now["repeat_minutes"], min=5, max=10080, suffix=" min",
                placeholder="Only once", allowDecimal=False, description="Until somebody acknowledges",
            ),
        ),
        _forms.pair(
            _forms.choice(
                RULE, "stop", "Rules below", [{"value": "no", "label": "Are looked at too"}, {"value": "yes", "label": "Are not looked at"}],
                now["stop"], allowDeselect=False,
            ),
            _forms.choice(
                RULE, "enabled", "This rule", [{"value": "yes", "label": "Is on"}, {"value": "no", "label": "Is off"}],
                now["enabled"], allowDeselect=False,
            ),
        ),
    ]  # fmt: skip


def _rule_read(said: Mapping[str, Any]) -> dict[str, Any]:
    out = _covers.read(said)
    for name in ("name", "channels", "environments"):
        if name in said:
            out[name] = said[name] or ([] if name != "name" else "")
    if "min_severity" in said:
        out["min_severity"] = int(said["min_severity"] or 4)
    for name in ("group_seconds", "repeat_minutes"):
        if name in said:
            value = said[name]
            out[name] = None if value in ("", None) else int(value) if float(value).is_integer() else value
    for name in ("stop", "enabled"):
        if name in said:
            out[name] = said[name] == "yes"
    return out


def open_rule(_: str | None, __: Mapping[str, int]) -> Opened:
    return Opened(_rule_body(_rule_values(None)), {})


def create_rule(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        rule = alert_rules.create(conn, auth.actor(), _rule_read(said.values))
    return Done(f"{rule['name']} is saved, below all others")


def _rule(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return alert_rules.get(conn, nodes.uuid_of(id_ or ""))


def open_rule_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    rule = _rule(id_)
    now = _rule_values(rule)
    return Opened(_rule_body(now), now, rule["version"], f"Edit {rule['name']}")


def edit_rule(said: Said) -> Done:
    if not said.changed:
        return Done("Nothing was changed")
    with _deps.dlv().record.tx() as conn:
        rule = alert_rules.edit(
            conn, auth.actor(), nodes.uuid_of(said.id or ""), _rule_read(said.changed), said.version
        )
    return Done(f"{rule['name']} is saved")


def open_rule_remove(id_: str | None, _: Mapping[str, int]) -> Opened:
    rule = _rule(id_)
    text = "Nobody is told by it any more. Who was told of an incident by it is still told how that ends."
    return Opened([_forms.statement(text)], {}, rule["version"], f"Remove {rule['name']}?")


def remove_rule(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        alert_rules.remove(conn, auth.actor(), nodes.uuid_of(said.id or ""), said.version)
    return Done("The rule is removed")


def tell_rule(field: str, value: Any) -> str:
    """A field of a rule in words, where two people differ."""
    if field == "teams":
        names = {t["value"]: t["label"] for t in node_forms.teams()}
        return ", ".join(names.get(str(v), str(v)) for v in value) or "any"
    if field == "channels":
        names = {c["value"]: c["label"] for c in _channel_choices()}
        return ", ".join(names.get(str(v), str(v)) for v in value) or "none"
    if field == "nodes":
        return ", ".join(o["label"] for o in _covers.options(value)) or "any"
    return _forms.told(value)


RULES = _forms.Dialog(
    RULE,
    {
        "new": _forms.Action("New rule", open_rule, create_rule, "Create"),
        "edit": _forms.Action("Edit", open_rule_edit, edit_rule, tell=tell_rule),
        "remove": _forms.Action("Remove", open_rule_remove, remove_rule, "Remove", danger=True),
    },
    fresh=True,
    size=720,
)
_covers.wire(RULE, "admin")


# ---------------------------------------------------------------- rules: the list, in its order


@callback(
    Output("alert-rules", "children"),
    Input(f"{RULE}-fresh", "data"),
    Input({"rule": ALL, "move": ALL}, "n_clicks"),
)
@auth.requires("admin")
def rules_now(_: str | None, clicks: Sequence[int | None]) -> list[Component]:
    """The rules in their order; a press on up or down moves one first."""
    dlv = _deps.dlv()
    with dlv.record.tx() as conn:
        asked = ctx.triggered_id
        if isinstance(asked, dict) and ctx.triggered and ctx.triggered[0]["value"]:
            order = [str(r["id"]) for r in alert_rules.every(conn)]
            if asked["rule"] in order:
                place = order.index(asked["rule"]) + 1 + (-1 if asked["move"] == "up" else 1)
                alert_rules.move(conn, auth.actor(), nodes.uuid_of(asked["rule"]), place)
        rules = alert_rules.every(conn)
        known = {str(c["id"]): c for c in channel_store.page(conn, retired=True)}
        teams = lists.team_names(conn)
    names = _covers.names_of(rules)
    if not rules:
        what = (
            "Make a channel first, then a rule that tells it."
            if not known
            else "Make a rule: until then incidents are opened, and nobody hears of them."
        )
        return [
            _grid.empty(
                "Nobody is told", what, "bell", _forms.opener(RULE, "new", "New rule", "plus", primary=True) if known else _to("channels", "Channels")
            )
        ]  # fmt: skip
    out = [_rule_card(n, r, len(rules), known, teams, names) for n, r in enumerate(rules, 1)]
    on = [r for r in rules if r["enabled"] and any(_usable(known, c) for c in r["channels"])]
    if not on:
        out.insert(0, _warning("Nobody is told: every rule is off or has no channel left."))
    elif not any(_everything(r) for r in on):
        out.append(
            html.P(
                "An incident that no rule matches is opened and told to nobody. A last rule without conditions leaves none out.",
                className="muted rules-foot",
            )
        )
    return [html.Div(out, className="rules-list")]


def _usable(known: Mapping[str, Mapping[str, Any]], id_: Any) -> bool:
    return str(id_) in known and known[str(id_)]["retired_at"] is None


def _everything(r: Mapping[str, Any]) -> bool:
    return r["min_severity"] == 4 and not (r["nodes"] or r["tags"] or r["teams"] or r["environments"])


def _to(tab: str, label: str) -> Component:
    return dcc.Link(label, href=f"/admin/alerts?tab={tab}", className="btn small primary")


def _warning(text: str) -> Component:
    return html.P([glyph("warn"), html.Span(text)], className="notice-line c-warn", role="alert")


def summary(r: Mapping[str, Any], teams: Mapping[str, str], names: Mapping[str, str]) -> tuple[str, str]:
    """(of what, how) of a rule as a sentence: 'Severity 1 and 2 of team Finance in prod', 'after 10 s, again every
    60 min until acknowledged'."""
    what = {4: "Everything", 3: "Severity 1 to 3", 2: "Severity 1 and 2", 1: "Severity 1"}[r["min_severity"]]
    parts = []
    some = {
        "nodes": _covers.said({**r, "tags": [], "teams": []}, teams, names),
        "tags": _covers.said({**r, "nodes": [], "teams": []}, teams, names),
        "teams": _covers.said({**r, "nodes": [], "tags": []}, teams, names),
    }
    parts = [" or ".join(s) for s in some.values() if s]
    if parts:
        what = ("Any severity" if r["min_severity"] == 4 else what) + " of " + ", and ".join(parts)
    if r["environments"]:
        what += " in " + " or ".join(r["environments"])
    how = []
    if r["group_seconds"] is not None:
        how.append("at once" if r["group_seconds"] == 0 else f"after {words.lasted(r['group_seconds'])}")
    how.append(
        f"again every {words.minutes(r['repeat_minutes'])} until acknowledged"
        if r["repeat_minutes"]
        else "once"
    )
    if r["stop"]:
        how.append("rules below are not looked at")
    return what, ", ".join(how)


def _rule_card(
    n: int,
    r: Mapping[str, Any],
    of: int,
    known: Mapping[str, Mapping[str, Any]],
    teams: Mapping[str, str],
    names: Mapping[str, str],
) -> Component:
    what, how = summary(r, teams, names)
    told = [
        html.Span(
            [ic(_MARKS[known[str(c)]["kind"]]), known[str(c)]["name"]] if _usable(known, c) else "a channel that is gone",
            className="tag",
        )
        for c in r["channels"]
    ]  # fmt: skip
    id_ = str(r["id"])

    def move(way: str, icon: str, off: bool) -> Component:
        return html.Button(
            ic(icon), id={"rule": id_, "move": way}, className="iconbtn", disabled=off, title=f"Move {way}",
            **{"aria-label": f"Move {r['name']} {way}"},
        )  # fmt: skip

    def ask(mode: str, icon: str, label: str) -> Component:
        return html.Button(
            ic(icon), className="iconbtn", title=label,
            **{"aria-label": f"{label} {r['name']}", "data-ask-dialog": RULE, "data-mode": mode, "data-id": id_},
        )  # fmt: skip

    return html.Div(
        [
            html.Span(str(n), className="rule-n"),
            html.Div(
                [
                    html.Div(
                        [html.B(r["name"]), html.Span("Off", className="tag") if not r["enabled"] else None],
                        className="rule-name",
                    ),
                    html.P(
                        [what, html.Span(" → ", className="muted"), *_spaced(told)], className="rule-what"
                    ),
                    html.P(f"Told {how}.", className="muted"),
                ],
                className="grow",
            ),
            html.Div(
                [
                    move("up", "arrow-up", n == 1),
                    move("down", "arrow-down", n == of),
                    ask("edit", "pencil", "Edit"),
                    ask("remove", "trash", "Remove"),
                ],
                className="acts-cell",
            ),
        ],
        className="rule-card" + ("" if r["enabled"] else " off"),
    )


def _spaced(parts: Sequence[Component]) -> list[Any]:
    out: list[Any] = []
    for p in parts:
        out += [p, " "]
    return out


# ---------------------------------------------------------------- rules: try it


def _try() -> Component:
    return html.Div(
        [
            html.Div(
                [
                    html.B("Try it"),
                    html.Div(
                        node_forms.picker("node", "", [], None, "alert-try"),
                        className="wide",
                    ),
                    dmc.Select(
                        id={"form": "alert-try", "field": "severity"},
                        data=[{"value": str(i), "label": f"Severity {i}"} for i in (1, 2, 3, 4)],
                        value="1",
                        size="sm",
                        allowDeselect=False,
                        w=130,
                        **{"aria-label": "Severity"},
                    ),
                ],
                className="try-line",
            ),
            html.Div(id="alert-tried", className="try-said", role="status"),
        ],
        className="try",
    )


node_forms.wire_picker("alert-try", "node")


@callback(
    Output("alert-tried", "children"),
    Input({"form": "alert-try", "field": "node"}, "value"),
    Input({"form": "alert-try", "field": "severity"}, "value"),
    Input(f"{RULE}-fresh", "data"),
    Input("alert-rules", "children"),
)
@auth.requires("admin")
def tried(node: str | None, severity: str | None, _: Any, __: Any) -> Any:
    """Who would be told of an incident with this root."""
    if not node:
        return html.P("Choose a node: this says who would be told if it failed.", className="muted")
    dlv = _deps.dlv()
    with dlv.record.tx() as conn:
        rules = alert_rules.active(conn)
        facts = list(alert_rules.facts(conn, [nodes.uuid_of(node)]).values())
        known = {c["id"]: c["name"] for c in channel_store.page(conn)}
    level = int(severity or 1)
    found = routing.route(level, facts, rules)
    if not found:
        return html.P([glyph("warn"), html.Span("Nobody: no rule matches.")], className="notice-line c-warn")
    by = {r.id: r.name for r in rules}
    wait = routing.group_seconds(facts, rules, dlv.settings.group_seconds, level)
    said = "at once" if wait == 0 else f"after {words.lasted(wait)}"
    return html.Div(
        [
            html.P(["Told ", html.B(said), ":"]),
            html.Ul(
                [html.Li([html.B(known.get(f.channel, "?")), f" by the rule {by[f.rule]}"]) for f in found],
                className="told-list",
            ),
        ]
    )


# ---------------------------------------------------------------- channels

_MARKS = {"email": "mail", "slack": "brand-slack", "webhook": "webhook", "pagerduty": "urgent"}


def _public() -> Component | None:
    if _deps.dlv().settings.public_url:
        return None
    return _warning(
        "DLV_PUBLIC_URL is not set, so messages carry no link. Whoever runs DLV sets it to the address at which people "
        "reach DLV, from their phones too."
    )


def _channel_fields(kind: str, now: Mapping[str, Any], kept: Sequence[str]) -> list[Any]:
    said = channels.kind_of(kind)
    return [
        html.P(said.can, className="muted kind-says"),
        *_declared.body(CHANNEL, said.form.fields, now, kept, fold="Certificate of your own authority"),
    ]


def open_channel(_: str | None, __: Mapping[str, int]) -> Opened:
    body = [
        _public(),
        _forms.pair(
            _forms.choice(CHANNEL, "kind", "Kind", _KINDS, "slack", allowDeselect=False, withAsterisk=True),
            _forms.text(CHANNEL, "name", "Name", "", withAsterisk=True, placeholder="Data on call"),
        ),
        html.Div(id="channel-fields", className="form-part"),
    ]
    return Opened([b for b in body if b is not None], {})


@callback(Output("channel-fields", "children"), Input({"form": CHANNEL, "field": "kind"}, "value"))
@auth.requires("admin")
def channel_fields(kind: str | None) -> list[Any]:
    """The fields of the kind that was chosen."""
    said = channels.kind_of(kind or "")
    return _channel_fields(said.form.name, _declared.values(said.form.fields, None), ())


def create_channel(said: Said) -> Done:
    kind = channels.kind_of(str(said.values.get("kind") or ""))
    plain, secrets = _declared.split(kind.form.fields, said.values)
    dlv = _deps.dlv()
    with dlv.record.tx() as conn:
        made = channels.create(
            conn, dlv.settings, auth.actor(), str(said.values.get("name") or ""), kind.form.name, _full(plain), secrets,
        )  # fmt: skip
    return Done(f"{made['name']} is saved: send it a test, then name it in a rule")


def _full(said: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in said.items() if v not in (None, "")}


def _channel(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return channel_store.get(conn, nodes.uuid_of(id_ or ""))


def open_channel_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _channel(id_)
    kind = channels.kind_of(row["kind"])
    now = {"name": row["name"]} | _declared.values(kind.form.fields, row["fields"])
    body = [
        _public(),
        _forms.text(CHANNEL, "name", "Name", row["name"], withAsterisk=True),
        html.Div(_channel_fields(row["kind"], now, list(row["secrets"])), className="form-part"),
    ]
    return Opened(
        [b for b in body if b is not None], now, row["version"], f"Edit {row['name']}, {kind.form.label}"
    )


def edit_channel(said: Said) -> Done:
    if not said.changed:
        return Done("Nothing was changed")
    dlv = _deps.dlv()
    kind = channels.kind_of(_channel(said.id)["kind"])
    _, secrets = _declared.split(kind.form.fields, said.values)
    names = {f.name for f in kind.form.plain}
    fields = {k: None if v == "" else v for k, v in said.changed.items() if k in names}
    with dlv.record.tx() as conn:
        row = channels.edit(
            conn,
            dlv.settings,
            auth.actor(),
            nodes.uuid_of(said.id or ""),
            name=said.changed.get("name"),
            fields=fields or None,
            given=secrets,
            version=said.version,
        )
    return Done(f"{row['name']} is saved: send it a test")


def open_channel_remove(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _channel(id_)
    if row["rules"]:
        raise Invalid(
            f"{row['name']} is told by {', '.join(row['rules'][:3])}", hint="take it out of these rules first"
        )
    text = "What waits for it is given up. What it was told stays in the delivery log."
    return Opened([_forms.statement(text)], {}, row["version"], f"Remove {row['name']}?")


def remove_channel(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        row = channel_store.retire(conn, auth.actor(), nodes.uuid_of(said.id or ""), said.version)
    return Done(f"{row['name']} is removed")


def open_test(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _channel(id_)
    what = f"{channels.kind_of(row['kind']).form.label}: {where(row)}"
    return Opened(_trial.place(CHANNEL, id_, what, "Sending"), {}, None, f"Test {row['name']}")


def try_channel(id_: UUID) -> tuple[Component, Any]:
    """Send a test, and show what the receiver answered."""
    dlv = _deps.dlv()
    said = channels.test(dlv.record, dlv.settings, auth.actor(), id_)
    return tested(said), said


_trial.follow(CHANNEL, CHANNELS, try_channel)


def tested(said: Mapping[str, Any]) -> Component:
    """What a test came to."""
    return html.Div(
        [
            html.P(
                [
                    glyph("ok" if said["ok"] else "failed"),
                    html.B("The receiver took it" if said["ok"] else "It was not taken"),
                ],
                className="said-head",
            ),
            html.P(said["message"] if said["ok"] else _forms.sentence(said["message"])),
            html.P(_forms.sentence(said["hint"]), className="hint") if said["hint"] else None,
        ],
        className=f"said tested c-{'ok' if said['ok'] else 'failed'}",
    )


CHANNEL_DIALOG = _forms.Dialog(
    CHANNEL,
    {
        "new": _forms.Action("New channel", open_channel, create_channel, "Save"),
        "edit": _forms.Action("Edit", open_channel_edit, edit_channel),
        "test": _forms.Action("Test", open_test, lambda _: Done(""), ""),
        "remove": _forms.Action("Remove", open_channel_remove, remove_channel, "Remove", danger=True),
    },
    grid=CHANNELS,
    size=680,
)
_declared.follow(CHANNEL)


def where(c: Mapping[str, Any]) -> str:
    """What a channel leads to, on one line; nothing of its secrets."""
    f = c["fields"]
    if c["kind"] == "email":
        return f"{', '.join(f['to'].split())} by {f['host']}:{f.get('port', '')}"
    if c["kind"] == "slack":
        return f.get("channel") or "an incoming webhook"
    return f.get("url") or ""


def channel_rows(
    filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int
) -> _grid.Rows:
    wanted = {"state": ["active"]} | filters
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "channels", wanted, sort=sort, descending=descending, limit=limit, offset=offset
        )
    return [_channel_cells(c) for c in found], total


def _channel_cells(c: Mapping[str, Any]) -> dict[str, Any]:
    removed = c["retired_at"] is not None
    test, newest = c["last_test"], c["newest"]
    if removed:
        state = {"state": "unknown", "word": "Removed"}
    elif newest and newest["status"] == "failed":
        state = {"state": "failed", "word": "Not delivered", "title": newest["error"]}
    elif c["waiting"]:
        state = {"state": "late", "word": f"{words.many(c['waiting'], 'message')} waiting"}
    elif newest:
        state = {"state": "ok", "word": f"Delivered {words.ago(newest['at'])}"}
    else:
        state = {"state": "unknown", "word": "Nothing sent yet"}
    return {
        "id": str(c["id"]),
        "name": {"a": c["name"], "b": channels.KINDS[c["kind"]].form.label},
        "where": where(c),
        "rules": ", ".join(c["rules"]) or ("" if removed else "no rule"),
        "state": state,
        "last_test": {
            "state": "ok" if test["ok"] else "failed",
            "word": ("Taken " if test["ok"] else "Failed ") + words.ago(test["at"]),
            "title": f"{_forms.sentence(test['message'])} {_forms.sentence(test['hint'])}".strip(),
        }
        if test
        else {"state": "unknown", "word": "Not tested"},
        "here": not removed,
    }


def no_channel(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No channel matches", "Take a filter away.", "search")
    return _grid.empty(
        "No channel yet",
        "A channel is where people are told: mail, Slack, a webhook of your own, PagerDuty. Rules say of what.",
        "bell",
        _forms.opener(CHANNEL, "new", "New channel", "plus", primary=True),
    )


_grid.answer(CHANNELS, channel_rows, lambda n: words.many(n, "channel"), no_channel, "admin")


# ---------------------------------------------------------------- the delivery log


def log_rows(
    filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int
) -> _grid.Rows:
    wanted = dict(filters)
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "notifications", wanted,
            sort=sort or "created_at", descending=descending if sort else True, limit=limit, offset=offset,
        )  # fmt: skip
    return [_log_cells(n) for n in found], total


def _log_cells(n: Mapping[str, Any]) -> dict[str, Any]:
    state, word = _STATUS[n["status"]]
    if n["status"] == "pending":
        word = "Being sent" if n["held_until"] else "Tried again" if n["attempts"] else "Waits"
    said = _forms.sentence(n["error"]) or n["answer"]
    if n["status"] == "silenced":
        said = "A silence kept it back"
    return {
        "id": str(n["id"]),
        "name": n["title"] or f"Test of {n['channel']}",
        "created_at": _grid.at(n["created_at"]),
        "incident": {
            "a": n["title"] or "Test",
            "b": f"INC-{n['number']}" if n["number"] else "sent by hand",
            "href": f"/incidents/{n['incident_id']}" if n["incident_id"] else None,
        },
        "channel": {"a": n["channel"], "b": n["rule"] or channels.KINDS[n["kind"]].form.label},
        "event": _EVENTS[n["event"]] + ("" if n["loud"] else ", quietly"),
        "status": {"state": state, "word": word},
        "attempts": str(n["attempts"] or ""),
        "said": said,
        "may_retry": n["status"] in ("pending", "failed") and n["incident_id"] is not None,
    }


def no_message(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No message matches", "Take a filter away.", "search")
    return _grid.empty(
        "Nobody was told of anything yet", "Every message and every try shows here.", "message"
    )


_grid.answer(LOG, log_rows, lambda n: words.many(n, "message"), no_message, "admin")
_grid.follow(LOG)


def _message(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return notifications.get(conn, nodes.uuid_of(id_ or ""))


def open_message(id_: str | None, _: Mapping[str, int]) -> Opened:
    n = _message(id_)
    facts = [
        ("Decided", _stamp(n["created_at"])),
        ("Ended", _stamp(n["ended_at"])),
        ("Next try", _stamp(n["next_try_at"])),
        ("Tries", str(n["attempts"])),
        ("Error", n["error"]),
        ("Answer", n["answer"]),
        ("Rule", n["rule_name"] or ""),
        ("Id", str(n["id"])),
    ]
    body = [
        html.Dl(
            [x for k, v in facts if v and v != "—" for x in (html.Dt(k), html.Dd(v))], className="facts-list"
        )
    ]
    if n["status"] != "silenced":
        body.append(html.Pre(message.text(message.of(n["content"])), className="message-text"))
    return Opened(body, {}, None, f"{_EVENTS[n['event']]}: {n['channel_name']}")


def _stamp(at: Any) -> str:
    return words.stamp(at.isoformat()) if at else "—"


def open_retry(id_: str | None, _: Mapping[str, int]) -> Opened:
    n = _message(id_)
    text = f"It was tried {n['attempts']} times. {_forms.sentence(n['error'])}".strip()
    return Opened(
        [_forms.statement(text, "Its tries are counted anew.")],
        {},
        None,
        f"Send again to {n['channel_name']}?",
    )


def retry(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        notifications.retry(conn, auth.actor(), nodes.uuid_of(said.id or ""))
    return Done("It is sent in a moment")


MESSAGES = _forms.Dialog(
    MESSAGE,
    {
        "show": _forms.Action("Message", open_message, lambda _: Done(""), ""),
        "retry": _forms.Action("Send again", open_retry, retry, "Send now"),
    },
    grid=LOG,
    size=680,
)


# ---------------------------------------------------------------- the page


@_admin.only_admins
def layout(tab: str = "rules", **params: Any) -> Component:
    tab = tab if tab in TABS else "rules"
    body, actions = {"rules": _rules_tab, "channels": _channels_tab, "log": _log_tab}[tab](params)
    links = html.Nav(
        [
            html.Span(label, className="subtab on", **{"aria-current": "page"})
            if name == tab
            else dcc.Link(label, href=f"/admin/alerts?tab={name}", className="subtab")
            for name, label in TABS.items()
        ],
        className="subnav",
        **{"aria-label": "Alerts"},
    )
    return _admin.frame(
        "Alerts",
        "Who is told of an incident, how, and what became of it. Each incident is told once; what changes edits what was said where the channel can.",
        [links, *body],
        actions,
    )


def _rules_tab(_: Mapping[str, Any]) -> tuple[list[Any], list[Component]]:
    body = [
        html.Div(
            [html.Div(id="alert-rules"), _try()],
            className="rules-page",
        ),
        *RULES.place(),
    ]
    return body, [_forms.opener(RULE, "new", "New rule", "plus", primary=True)]


def _channels_tab(params: Mapping[str, Any]) -> tuple[list[Any], list[Component]]:
    asked = _grid.asked(params, ("q", "kind", "state"))
    columns = [
        _grid.column("name", "Channel", cell="Two", sort=True, flex=2, least=160),
        _grid.column("where", "Leads to", cell="Plain", flex=3, least=180),
        _grid.column("rules", "Told by", cell="Plain", flex=2, least=140),
        _grid.column("state", "Deliveries", cell="State", flex=2, least=160),
        _grid.column("last_test", "Last test", cell="State", flex=1, least=140),
        _grid.acts(
            CHANNEL,
            {"mode": "test", "label": "Send test", "icon": "plug", "when": "here"},
            {"mode": "edit", "label": "Edit", "icon": "pencil", "when": "here"},
            {"mode": "remove", "label": "Remove", "icon": "trash", "when": "here"},
            width=132,
        ),
    ]
    body = [
        *_grid.place(
            CHANNELS,
            columns,
            [
                _grid.words_filter(CHANNELS, asked, "Name or where it leads"),
                _grid.pick_filter(CHANNELS, asked, "kind", "Kind", _KINDS),
                _grid.pick_filter(CHANNELS, asked, "state", "State", _STATES),
            ],
            asked,
            label="Channels",
            keep_url=False,
        ),
        *CHANNEL_DIALOG.place(),
        _declared.place(CHANNEL),
    ]
    return body, [_forms.opener(CHANNEL, "new", "New channel", "plus", primary=True)]


def _log_tab(params: Mapping[str, Any]) -> tuple[list[Any], list[Component]]:
    asked = _grid.asked(params, ("q", "status", "event", "channel", "incident"))
    columns = [
        _grid.column("created_at", "When", cell="When", sort=True, least=92, width=104),
        _grid.column("incident", "Incident", cell="Leads", flex=3, least=160),
        _grid.column("event", "What", cell="Plain", least=96, width=122),
        _grid.column("channel", "Channel", cell="Two", sort=True, flex=2, least=120),
        _grid.column("status", "State", cell="State", sort=True, least=112, width=126),
        _grid.column("said", "What the receiver said", cell="Plain", flex=4, least=160),
        _grid.column("attempts", "Tries", cell="Plain", least=60, width=64),
        _grid.acts(
            MESSAGE,
            {"mode": "show", "label": "Show", "icon": "message"},
            {"mode": "retry", "label": "Send again", "icon": "refresh", "when": "may_retry"},
            width=100,
        ),
    ]
    statuses = [{"value": k, "label": v[1]} for k, v in _STATUS.items()]
    events = [{"value": k, "label": v} for k, v in _EVENTS.items()]
    body = [
        *_grid.place(
            LOG,
            columns,
            [
                _grid.words_filter(LOG, asked, "Incident, channel or error"),
                _grid.pick_filter(LOG, asked, "status", "State", statuses),
                _grid.pick_filter(LOG, asked, "event", "What", events),
            ],
            asked,
            label="Delivery log",
            keep_url=False,
        ),
        *MESSAGES.place(),
    ]
    return body, []
