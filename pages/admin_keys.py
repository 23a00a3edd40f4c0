"""API keys, shown once, and the producers that send events with them: when they last did, and whether they were refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component
from flask import current_app, request

import auth
import auth.keys
from answers import nodes
from errors import Invalid
from pages import _admin, _deps, _forms, _grid
from pages import _words as words
from pages._forms import Done, Opened, Said
from pages._icons import ic
from store import connections, lists
from store import keys as store
from store import producers as producer_store

dash.register_page(__name__, path="/admin/keys", title="API keys · DLV")

NAME, FORM = "keys", "key"
PRODUCERS, PRODUCER = "producers", "producer"
SCOPES = [
    {"value": "lineage:write", "label": "lineage:write, sends events"},
    {"value": "read", "label": "read, asks anything"},
    {"value": "write", "label": "write, changes the map like an admin"},
]
_STATES = {"active": ("ok", "Active"), "expired": ("warn", "Expired"), "revoked": ("unknown", "Revoked")}
_SENDS = {
    "sending": ("ok", "Sending"),
    "quiet": ("late", "Quiet"),
    "new": ("unknown", "Nothing sent yet"),
    "retired": ("unknown", "Retired"),
}
ONCE = "Shown now and never again: only its fingerprint is kept. Lost it? Make another of the same name and revoke this one."


# ---------------------------------------------------------------- keys


def open_new(_: str | None, __: Mapping[str, int]) -> Opened:
    environments = [o["key"] for o in nodes.options(_deps.dlv())["environment"]]
    body = [
        _forms.text(
            FORM, "name", "Name", withAsterisk=True, placeholder="airflow-prod",
            description="What sends events with it is the producer of this name; a new key of the same name continues it",
        ),
        _forms.several(FORM, "scopes", "May", SCOPES, ["lineage:write"], withAsterisk=True),
        _forms.pair(
            dmc.Autocomplete(
                id={"form": FORM, "field": "environment"}, label="Environment of its jobs", data=environments, value="",
                placeholder="By naming rule, else default", size="sm",
            ),
            dmc.DateInput(
                id={"form": FORM, "field": "expires_at"}, label="Expires", value=None, placeholder="Never", size="sm",
                valueFormat="YYYY-MM-DD", clearable=True, popoverProps={"shadow": "md"},
            ),
        ),
    ]  # fmt: skip
    return Opened(body, {})


def create(said: Said) -> Done:
    v = said.values
    name = str(v.get("name") or "").strip()
    if not 1 <= len(name) <= 100:
        raise Invalid("a key needs a name of at most 100 characters", field="name")
    scopes = list(v.get("scopes") or [])
    if not scopes or set(scopes) - set(store.SCOPES):
        raise Invalid("choose what it may do", field="scopes")
    environment = str(v.get("environment") or "").strip() or None
    if environment and not re.fullmatch(r"[A-Za-z0-9._-]{1,60}", environment):
        raise Invalid("an environment is one word", field="environment", hint="letters, digits and . _ -")
    if environment and "lineage:write" not in scopes:
        raise Invalid("only a key that sends lineage has one", field="environment", hint="add lineage:write")
    key, hash_, prefix = auth.keys.new()
    with _deps.dlv().record.tx() as conn:
        store.create(
            conn,
            auth.actor(),
            name,
            scopes,
            hash_,
            prefix,
            environment=environment,
            expires_at=expiry(v.get("expires_at")),
        )
    show = [_forms.secret("The key", key, ONCE)]
    if "lineage:write" in scopes:
        show.append(snippets(key))
    return Done(f"{name} has a key", show)


def expiry(text: Any) -> datetime | None:
    """The end of the day that was chosen, in UTC."""
    if not text:
        return None
    try:
        day = datetime.fromisoformat(str(text)).date()
    except ValueError:
        raise Invalid("not a day", field="expires_at", hint="such as 2027-01-31") from None
    at = datetime.combine(day, time(23, 59, 59), UTC)
    if at <= datetime.now(UTC):
        raise Invalid("this day is past", field="expires_at", hint="leave it empty, or say a day to come")
    return at


def _key(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return store.get(conn, nodes.uuid_of(id_ or ""))


def open_revoke(id_: str | None, _: Mapping[str, int]) -> Opened:
    key = _key(id_)
    text = "From now on it is refused, within two seconds everywhere. What it sent stays. This cannot be undone; another key can be made."
    used = words.ago(key["last_used_at"].isoformat()) if key["last_used_at"] else "never"
    return Opened(
        [_forms.statement(html.P([html.Code(f"{key['prefix']}…"), f", last used {used}"]), text)], {}, None, f"Revoke {key['name']}?"
    )  # fmt: skip


def revoke(said: Said) -> Done:
    key = _key(said.id)
    with _deps.dlv().record.tx() as conn:
        store.revoke(conn, auth.actor(), key["id"])
    current_app.extensions["dlv_gate"].keys.forget()
    return Done(f"{key['name']} is revoked")


def open_how(_: str | None, __: Mapping[str, int]) -> Opened:
    return Opened([snippets("YOUR_KEY")], {}, None, "Point your tools at DLV")


def snippets(key: str) -> Component:
    """How Airflow, dbt, Spark and Python send their events here."""
    url = request.host_url.rstrip("/")
    said = {
        "Airflow": (
            "In the environment of scheduler and workers, with the package apache-airflow-providers-openlineage:",
            f"""export AIRFLOW__OPENLINEAGE__TRANSPORT='{{"type": "http", "url": "{url}", "endpoint": "api/v1/lineage", """
            f""""auth": {{"type": "api_key", "apiKey": "{key}"}}}}'\nexport AIRFLOW__OPENLINEAGE__NAMESPACE=airflow-prod""",
        ),
        "dbt": (
            "With the package openlineage-dbt; dbt-ol takes the same arguments as dbt:",
            f"export OPENLINEAGE_URL={url}\nexport OPENLINEAGE_API_KEY={key}\nexport OPENLINEAGE_NAMESPACE=dbt-prod\ndbt-ol build",
        ),
        "Spark": (
            "In spark-defaults.conf, or each with --conf:",
            f"""spark.jars.packages                     io.openlineage:openlineage-spark_2.12:1.53.0
spark.extraListeners                    io.openlineage.spark.agent.OpenLineageSparkListener
spark.openlineage.transport.type        http
spark.openlineage.transport.url         {url}
spark.openlineage.transport.endpoint    /api/v1/lineage
spark.openlineage.transport.auth.type   api_key
spark.openlineage.transport.auth.apiKey {key}
spark.openlineage.namespace             spark-prod""",
        ),
        "Python": (
            "With the package openlineage-python:",
            f"""from openlineage.client import OpenLineageClient
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport

client = OpenLineageClient(transport=HttpTransport(HttpConfig(
    url="{url}",
    endpoint="api/v1/lineage",
    auth=ApiKeyTokenProvider({{"apiKey": "{key}"}}),
)))
client.emit(event)""",
        ),
    }
    return dmc.Tabs(
        [
            dmc.TabsList([dmc.TabsTab(name, value=name) for name in said]),
            *(dmc.TabsPanel(_snippet(name, *parts), value=name) for name, parts in said.items()),
        ],
        value="Airflow",
        className="snippets",
    )


def _snippet(name: str, lead: str, text: str) -> Component:
    id_ = f"snippet-{name.lower()}"
    return html.Div(
        [
            html.P(lead, className="muted"),
            html.Div(
                [
                    html.Pre(text, id=id_),
                    html.Button([ic("copy"), html.Span("Copy")], className="btn small", **{"data-copy": id_}),
                ],
                className="snippet",
            ),
        ]
    )


DIALOG = _forms.Dialog(
    FORM,
    {
        "new": _forms.Action("New API key", open_new, create, "Make key"),
        "revoke": _forms.Action("Revoke", open_revoke, revoke, "Revoke", danger=True),
        "how": _forms.Action("Point your tools at DLV", open_how, lambda _: Done(""), ""),
    },
    grid=NAME,
    size=680,
)


def key_rows(
    filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int
) -> _grid.Rows:
    if sort is None:
        sort, descending = "created_at", True
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "keys", filters, sort=sort, descending=descending, limit=limit, offset=offset
        )
    out = []
    for k in found:
        state, word = _STATES[k["state"]]
        out.append(
            {
                "id": str(k["id"]),
                "name": {"a": k["name"], "b": f"{k['prefix']}…"},
                "scopes": k["scopes"],
                "environment": k["environment"],
                "state": {"state": state, "word": word},
                "last_used_at": _grid.at(k["last_used_at"]),
                "expires_at": {
                    "text": f"{k['expires_at']:%d %b %Y}" if k["expires_at"] else "never",
                    "title": words.stamp(k["expires_at"].isoformat()) if k["expires_at"] else "",
                },
                "created_at": _grid.at(k["created_at"]),
                "created_by": k["created_by"] or "DLV",
                "here": k["state"] != "revoked",
            }
        )
    return out, total


# ---------------------------------------------------------------- producers


def _producer(id_: str | None) -> dict[str, Any]:
    try:
        number = int(id_ or "")
    except ValueError:
        raise Invalid("no producer has this id", field="id") from None
    with _deps.dlv().record.tx() as conn:
        return producer_store.get(conn, number)


MORE = [
    {"value": "more", "label": "Yes, it goes on sending"},
    {"value": "over", "label": "No: it is never quiet, and its jobs never late"},
]


def open_watch(id_: str | None, _: Mapping[str, int]) -> Opened:
    p = _producer(id_)
    with _deps.dlv().record.tx() as conn:
        airflows = [
            {"value": str(c["id"]), "label": c["name"]}
            for c in connections.names(conn)
            if c["kind"] == "airflow"
        ]
    now = {
        "minutes": int(p["expected_every"].total_seconds() // 60) if p["expected_every"] else "",
        "connection_id": str(p["connection_id"]) if p["connection_id"] else None,
        "expects": "over" if p["retired_at"] else "more",
    }
    body = [
        _forms.number(
            PRODUCER, "minutes", "Expect an event at least every … minutes", now["minutes"], allowNegative=False, allowDecimal=False,
            description="Silent for longer, the producer is quiet: its jobs are unknown then, and not called late. Empty: learnt from when its jobs run.",
        ),
        _forms.choice(
            PRODUCER, "connection_id", "After a silence ask", airflows, now["connection_id"], clearable=True,
            placeholder="Nobody: what was missed stays unknown",
            description="A connection to the Airflow that sends: it tells how the runs ended that were missed",
        ),
        _forms.choice(PRODUCER, "expects", "Is more to come?", MORE, now["expects"], allowDeselect=False),
    ]  # fmt: skip
    return Opened(body, now, None, f"Watch {p['name']}")


def watch(said: Said) -> Done:
    p = _producer(said.id)
    minutes, through = said.values.get("minutes"), said.values.get("connection_id")
    if minutes in ("", None):
        every = None
    elif isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= 527_040:
        raise Invalid("a whole number of minutes from 1 to 527040", field="minutes")
    else:
        every = timedelta(minutes=minutes)
    with _deps.dlv().record.tx() as conn:
        if every != p["expected_every"]:
            producer_store.expect(conn, auth.actor(), p["id"], every)
        chosen = nodes.uuid_of(str(through)) if through else None
        if chosen != p["connection_id"]:
            producer_store.connect(conn, auth.actor(), p["id"], chosen)
        retired = datetime.now(UTC) if said.values.get("expects") == "over" else None
        producer_store.retire(conn, auth.actor(), [p["id"]], retired)
    return Done(f"{p['name']} is changed")


WATCH = _forms.Dialog(
    PRODUCER, {"watch": _forms.Action("Watch", open_watch, watch)}, grid=PRODUCERS, size=520
)


def producer_rows(
    filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int
) -> _grid.Rows:
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "producers", filters, sort=sort, descending=descending, limit=limit, offset=offset
        )
    out = []
    for p in found:
        state, word = ("failed", "Refused") if p["refused"] else _SENDS[p["state"]]
        title = "An expired or revoked key of its was used after its last event" if p["refused"] else ""
        if p["quiet_since"]:
            title = f"{p['quiet_reason']}; newest event {words.stamp(p['quiet_since'].isoformat())}"
        elif p["gap_error"]:
            title = f"What was missed could not be fetched: {p['gap_error']}"
        out.append(
            {
                "id": str(p["id"]),
                "name": p["name"],
                "environment": p["environment"],
                "state": {"state": state, "word": word, "title": title},
                "last_event_at": _grid.at(p["last_event_at"]),
                "last_refused_at": _grid.at(p["last_refused_at"]),
                "expected_every": f"every {words.lasted(p['expected_every'])}"
                if p["expected_every"]
                else "as learnt",
                "connection": p["connection"] or "",
                "warnings": f"{p['warnings']:,}" if p["warnings"] else "",
                "created_at": _grid.at(p["created_at"]),
            }
        )
    return out, total


# ---------------------------------------------------------------- the page


@_admin.only_admins
def layout(**params: Any) -> Component:
    producers = params.get("view") == "producers"
    views = html.Nav(
        [
            dcc.Link("Keys", href="/admin/keys", className="btn small", **_pressed(not producers)),
            dcc.Link(
                "Producers", href="/admin/keys?view=producers", className="btn small", **_pressed(producers)
            ),
        ],
        className="views",
        **{"aria-label": "Keys or producers"},
    )
    make = [
        _forms.opener(FORM, "how", "Point your tools here", "plug"),
        _forms.opener(FORM, "new", "New key", "plus", primary=True),
    ]
    lead = "What clients and scripts sign in with. Keys are shown once and kept as fingerprints only."
    if producers:
        lead = "What sends events. A producer lives on when its keys are replaced; silent for too long, it is quiet."
    return _admin.frame(
        "Producers" if producers else "API keys",
        lead,
        [*_producer_list(params), *WATCH.place()] if producers else [*_key_list(params), *DIALOG.place()],
        [views, *([] if producers else make)],
    )


def _pressed(on: bool) -> dict[str, str]:
    return {"title": "Shown now"} if on else {}


def _key_list(params: Mapping[str, Any]) -> list[Component]:
    asked = _grid.asked(params, ("q", "state", "scope"))
    columns = [
        _grid.column("name", "Name", cell="Two", sort=True, flex=2, least=170),
        _grid.column("scopes", "May", cell="Tags", flex=2, least=150),
        _grid.column("environment", "Environment", cell="Plain", flex=1, least=104),
        _grid.column("state", "State", cell="State", least=100, width=116),
        _grid.column("last_used_at", "Last used", cell="When", sort=True, least=100, flex=1),
        _grid.column("expires_at", "Expires", cell="When", sort=True, least=100, flex=1),
        _grid.column("created_at", "Made", cell="When", sort=True, least=100, flex=1),
        _grid.column("created_by", "By", cell="Plain", least=80, flex=1),
        _grid.acts(FORM, {"mode": "revoke", "label": "Revoke", "icon": "trash", "when": "here"}, width=84),
    ]
    return [
        *_grid.place(
            NAME,
            columns,
            [
                _grid.words_filter(NAME, asked, "Name or first characters"),
                _grid.pick_filter(NAME, asked, "state", "State", [{"value": k, "label": v[1]} for k, v in _STATES.items()]),
                _grid.pick_filter(NAME, asked, "scope", "May", SCOPES),
            ],
            asked,
            label="API keys",
        ),
    ]  # fmt: skip


def _producer_list(params: Mapping[str, Any]) -> list[Component]:
    asked = _grid.asked(params, ("q", "state"))
    columns = [
        _grid.column("name", "Producer", cell="Plain", sort=True, flex=2, least=170),
        _grid.column("state", "State", cell="State", least=130, flex=1),
        _grid.column("last_event_at", "Last event", cell="When", sort=True, least=110, flex=1),
        _grid.column("last_refused_at", "Last refused", cell="When", least=110, flex=1),
        _grid.column("expected_every", "Expected", cell="Plain", least=120, flex=1),
        _grid.column("connection", "Asked after silence", cell="Plain", least=120, flex=1),
        _grid.column("environment", "Environment", cell="Plain", least=104, flex=1),
        _grid.column("warnings", "Spec warnings", cell="Plain", least=120, flex=1),
        _grid.column("created_at", "First known", cell="When", least=100, sort=True, flex=1),
        _grid.acts(PRODUCER, {"mode": "watch", "label": "Watch for silence", "icon": "clock"}, width=84),
    ]
    return [
        *_grid.place(
            PRODUCERS,
            columns,
            [
                _grid.words_filter(PRODUCERS, asked, "Name or environment"),
                _grid.pick_filter(PRODUCERS, asked, "state", "State", [{"value": k, "label": v[1]} for k, v in _SENDS.items()]),
            ],
            asked,
            label="Producers",
            keep_url=False,
        ),
    ]  # fmt: skip


def nothing(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No key matches", "Take a filter away.", "search")
    return _grid.empty(
        "No key yet",
        "Airflow, dbt, Spark and Python send their events with a key.",
        "key",
        _forms.opener(FORM, "new", "New key", "plus", primary=True),
    )


def no_producer(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No producer matches", "Take a filter away.", "search")
    return _grid.empty(
        "Nobody has sent anything yet", "A key that may send lineage makes its producer.", "plug"
    )


_grid.answer(NAME, key_rows, lambda n: words.many(n, "key"), nothing, "admin")
_grid.answer(PRODUCERS, producer_rows, lambda n: words.many(n, "producer"), no_producer, "admin")
