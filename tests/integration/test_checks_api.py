"""Checks over REST: made, listed, edited, muted, run, accepted; what fits a node; who may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from connections import opening
from store.audit import SYSTEM
from tests.web import Web


@pytest.fixture
def admin(web: Web) -> dict[str, str]:
    return web.bearer("admin")


def call(
    web: Web, head: dict[str, str], method: str, path: str, body: Any = None, status: int = 200, **how: Any
) -> Any:
    answer = web.client().open(f"/api/v1{path}", method=method, headers=head | how, json=body)
    assert answer.status_code == status, (method, path, answer.status_code, answer.text)
    return answer.json


def node(
    web: Web,
    head: dict[str, str],
    name: str = "shop.public.orders",
    namespace: str = "postgres://db.example.com:5432",
    **more: Any,
) -> str:
    made = call(
        web, head, "POST", "/nodes", {"type": "dataset", "namespace": namespace, "name": name} | more, 201
    )
    return str(made["id"])


def connection(web: Web, name: str, kind: str, fields: dict[str, Any]) -> UUID:
    with web.record.tx() as conn:
        made = opening.create(conn, SYSTEM, web.settings, name, kind, fields, {})
    id_: UUID = made["id"]
    return id_


def postgres(web: Web, name: str, host: str, database: str = "shop") -> UUID:
    fields = {"host": host, "database": database, "username": "dlv", "tls": "off"}
    return connection(web, name, "postgres", fields)


def test_a_check_from_its_form_to_its_end(web: Web, admin: dict[str, str]) -> None:
    on = node(web, admin)
    way = str(postgres(web, "The shop", "db.example.com"))
    said = {
        "kind": "freshness", "name": "Orders are fresh", "node_id": on, "connection_id": way,
        "config": {"column": "placed_at", "error_after": "6 h", "warn_after": 7200},
    }  # fmt: skip
    made = call(web, admin, "POST", "/checks", said, 201)
    assert made["config"] == {
        "by": "column",
        "column": "placed_at",
        "zone": "UTC",
        "error_after": 21600,
        "warn_after": 7200,
    }
    assert (made["state"], made["every_seconds"], made["urls"]) == ("unknown", 600, None)
    path = f"/checks/{made['id']}"
    assert call(web, admin, "GET", path)["connection_name"] == "The shop"

    edited = call(web, admin, "PATCH", path, {"config": {"warn_after": None}, "version": 1})
    assert "warn_after" not in edited["config"]
    stale = call(web, admin, "PATCH", path, {"name": "x", "version": 1}, 412)
    assert stale["error"]["changes"]["name"] == {"yours": "x", "theirs": "Orders are fresh"}
    assert call(web, admin, "PATCH", path, {"name": "x"}, 422)["error"]["field"] == "version"
    # events need no connection, and one that is not needed goes
    by = {"config": {"by": "run"}, "connection_id": None, "version": 2}
    assert call(web, admin, "PATCH", path, by)["connection_id"] is None

    assert call(web, admin, "POST", f"{path}/pause")["state"] == "paused"
    assert call(web, admin, "POST", f"{path}/run", status=409)["error"]["hint"] == "resume it first"
    assert call(web, admin, "POST", f"{path}/resume")["state"] == "unknown"
    responder = web.bearer("responder")
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert call(web, responder, "POST", f"{path}/mute", {"until": until})["state"] == "muted"
    assert call(web, responder, "POST", f"{path}/mute", {"until": None})["state"] == "unknown"
    call(web, responder, "POST", f"{path}/run", status=202)
    assert call(web, admin, "POST", f"{path}/accept", status=409)["error"]["code"] == "conflict"
    assert call(web, admin, "POST", f"{path}/url", status=409)["error"]["code"] == "conflict"

    assert call(web, admin, "DELETE", path)["state"] == "retired"
    assert call(web, admin, "GET", "/checks")["items"] == []
    back = call(web, admin, "PATCH", path, {"retired": False, "version": 6})
    assert (back["state"], back["retired_at"]) == ("unknown", None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "nothing"}, "kind"),
        ({"name": ""}, "name"),
        ({"node_id": str(uuid4())}, "node_id"),
        ({"connection_id": None}, "connection_id"),
        ({"connection_id": str(uuid4())}, "connection_id"),
        ({"config": {"error_after": "1 h"}}, "config.column"),
        ({"config": {"column": "a", "error_after": "soon"}}, "config.error_after"),
        ({"config": {"column": "a", "colour": "red"}}, "config.colour"),
        ({"every_seconds": 1}, "every_seconds"),
        ({"severity": "loud"}, "severity"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    web: Web, admin: dict[str, str], change: dict[str, Any], field: str
) -> None:
    said = {
        "kind": "freshness", "name": "fresh", "node_id": node(web, admin),
        "connection_id": str(postgres(web, "The shop", "db.example.com")), "config": {"column": "a"},
    }  # fmt: skip
    error = call(web, admin, "POST", "/checks", said | change, 422)["error"]
    assert error["field"] == field
    assert call(web, admin, "GET", "/checks?retired=true")["items"] == []


def test_a_check_does_not_look_through_a_connection_of_another_kind(web: Web, admin: dict[str, str]) -> None:
    way = str(connection(web, "The API", "http", {"url": "https://api.example.com"}))
    said = {
        "kind": "freshness",
        "name": "x",
        "node_id": node(web, admin),
        "connection_id": way,
        "config": {"column": "a"},
    }
    error = call(web, admin, "POST", "/checks", said, 422)["error"]
    assert (error["field"], "postgres" in error["hint"]) == ("connection_id", True)


def test_a_heartbeat_comes_with_its_urls_once(web: Web, admin: dict[str, str]) -> None:
    said = {"kind": "heartbeat", "name": "nightly", "node_id": node(web, admin)}
    made = call(web, admin, "POST", "/checks", said, 201)
    assert set(made["urls"]) == {"success", "start", "fail"}
    assert made["has_url"] is True
    path = made["urls"]["success"]
    assert web.client().get(path[path.index("/api") :]).status_code == 200
    got = call(web, admin, "GET", f"/checks/{made['id']}")
    token = path.rsplit("/", 1)[1]
    assert token not in f"{got}{web.record.all('select after::text from audit_log')}"


def test_lists_are_filtered_and_paged(web: Web, admin: dict[str, str]) -> None:
    on = [node(web, admin, f"shop.public.t{n}") for n in range(3)]
    team = call(
        web, admin, "POST", "/teams", {"name": "Data", "patterns": ["postgres://*/shop.public.t0"]}, 201
    )
    for n in range(5):
        said = {"kind": "heartbeat", "name": f"beat {n}", "node_id": on[n % 3]}
        call(web, admin, "POST", "/checks", said, 201)

    def names(query: str) -> list[str]:
        return [c["name"] for c in call(web, admin, "GET", f"/checks?{query}")["items"]]

    assert names("") == [f"beat {n}" for n in range(5)]
    assert names(f"node={on[1]}") == ["beat 1", "beat 4"]
    assert names("q=T2 beat") == ["beat 2"]
    assert names("kind=sql") == []
    assert names("team=data") == names(f"team={team['id']}") == ["beat 0", "beat 3"]
    assert names("team=none") == ["beat 1", "beat 2", "beat 4"]
    assert names("state=unknown&state=paused") == names("")
    assert names("state=ok") == []
    first = call(web, admin, "GET", "/checks?limit=2")
    second = call(web, admin, "GET", f"/checks?limit=2&cursor={first['next']}")
    third = call(web, admin, "GET", f"/checks?limit=2&cursor={second['next']}")
    assert [c["name"] for page in (first, second, third) for c in page["items"]] == names("")
    assert third["next"] is None


def test_kinds_that_fit_a_node_come_first_with_the_connection_to_its_host(
    web: Web, admin: dict[str, str]
) -> None:
    others = str(postgres(web, "A first", "elsewhere.example.com"))
    other_database = str(postgres(web, "B second", "db.example.com", "stock"))
    own = str(postgres(web, "C third", "DB.example.com"))
    on = node(web, admin)
    said = call(web, admin, "GET", f"/nodes/{on}/check-kinds")["items"]
    fits = [o["kind"]["name"] for o in said if o["fits"]]
    assert {"freshness", "volume", "schema", "sql"} <= set(fits)
    assert [o["fits"] for o in said] == sorted((o["fits"] for o in said), reverse=True)
    fresh = next(o for o in said if o["kind"]["name"] == "freshness")
    assert [(c["id"], c["matches"]) for c in fresh["connections"]] == [
        (own, True),
        (others, False),
        (other_database, False),
    ]
    assert fresh["name"] == "Freshness: orders"
    job = call(
        web, admin, "POST", "/nodes", {"type": "job", "namespace": "airflow://x", "name": "dag.task"}, 201
    )
    kinds = [o["kind"]["name"] for o in call(web, admin, "GET", f"/nodes/{job['id']}/check-kinds")["items"]]
    assert "heartbeat" in kinds
    assert not {"volume", "schema"} & set(kinds)
    everything = call(web, admin, "GET", "/check-kinds")["items"]
    assert {k["name"] for k in everything} >= {
        "reachable",
        "freshness",
        "volume",
        "schema",
        "sql",
        "http",
        "heartbeat",
    }
    freshness = next(k for k in everything if k["name"] == "freshness")
    assert [f["name"] for f in freshness["fields"]] == [
        "by",
        "table",
        "column",
        "zone",
        "error_after",
        "warn_after",
    ]
    assert freshness["fields"][2]["only"] == ["by", ["column"]]


def test_a_merge_of_nodes_takes_their_checks_along(web: Web, admin: dict[str, str]) -> None:
    a, b = node(web, admin, "shop.public.a"), node(web, admin, "shop.public.b")
    for on in (a, b):
        call(web, admin, "POST", "/checks", {"kind": "heartbeat", "name": f"on {on}", "node_id": on}, 201)
    call(web, admin, "POST", f"/nodes/{a}/merge", {"other": b}, **{"If-Match": "1"})
    assert len(call(web, admin, "GET", f"/checks?node={b}")["items"]) == 2
    call(web, admin, "POST", f"/nodes/{a}/split", {"alias": b}, **{"If-Match": "2"})
    assert [c["name"] for c in call(web, admin, "GET", f"/checks?node={b}")["items"]] == [f"on {b}"]
