"""The map by REST: shapes, roles, versions, paging, files."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from errors import GraphAway
from graph import reach
from tests.web import Web

NS = "postgres://Shop.example:5432"


def make(web: Web, name: str, **more: Any) -> dict[str, Any]:
    said = {"type": "dataset", "namespace": NS, "name": name, **more}
    answer = web.client().post("/api/v1/nodes", json=said, headers=web.bearer("admin"))
    assert answer.status_code == 201, answer.text
    node: dict[str, Any] = answer.json
    return node


def test_a_node_from_creation_to_retirement(web: Web) -> None:
    admin, http = web.bearer("admin"), web.client()
    node = make(web, "Shop.Public.Orders", tags=["pii"], criticality=1)
    assert (node["namespace"], node["name"]) == ("postgres://shop.example:5432", "shop.public.orders")
    assert (node["system"], node["kind"], node["environment"], node["version"]) == (
        "postgres",
        "table",
        "default",
        1,
    )
    assert {
        "id",
        "type",
        "aliases",
        "parent_id",
        "owner",
        "sla",
        "description",
        "health",
        "at_risk",
        "last_seen",
    } <= set(node)
    again = http.post(
        "/api/v1/nodes",
        json={"type": "dataset", "namespace": NS, "name": "shop.public.orders"},
        headers=admin,
    )
    assert again.status_code == 409 and again.json["error"]["field"] == "name"
    as_sent = http.get(
        "/api/v1/nodes", query_string={"namespace": NS, "name": "Shop.Public.Orders"}, headers=admin
    )
    assert [n["id"] for n in as_sent.json["items"]] == [node["id"]]
    url = f"/api/v1/nodes/{node['id']}"
    assert http.patch(url, json={"tags": []}, headers=admin).json["error"]["field"] == "version"
    done = http.patch(
        url, json={"sla": {"kind": "freshness", "minutes": 30}}, headers=admin | {"If-Match": '"1"'}
    )
    assert done.status_code == 200 and done.json["sla"] == {"kind": "freshness", "minutes": 30}
    late = http.patch(url, json={"tags": ["x"], "version": 1}, headers=admin)
    assert late.status_code == 412
    assert late.json["error"]["changes"]["sla"]["theirs"] == {"kind": "freshness", "minutes": 30}
    assert late.json["error"]["version"] == 2
    first = http.get(url, headers=admin)
    same = http.get(url, headers=admin | {"If-None-Match": first.headers["ETag"]})
    assert same.status_code == 304
    both = http.patch(url, json={"description": "x", "retired": True, "version": 2}, headers=admin)
    assert both.status_code == 200 and both.json["retired_at"] and both.json["description"] == "x"
    assert http.get("/api/v1/nodes", headers=admin).json["items"] == []
    assert http.delete(url, headers=admin).status_code == 200
    audit = http.get(f"/api/v1/audit?object_id={node['id']}", headers=admin).json["items"]
    assert [a["action"] for a in audit] == ["node.retire", "node.edit", "node.edit", "node.create"]


def test_edges_merge_split_and_annotations(web: Web) -> None:
    admin, http = web.bearer("admin"), web.client()
    a, b, c = make(web, "d.s.a"), make(web, "d.s.b"), make(web, "d.s.c")
    edge = http.post("/api/v1/edges", json={"source": a["id"], "target": b["id"]}, headers=admin)
    assert edge.status_code == 201 and len(edge.json["ids"]) == 2 and edge.json["provenance"] == ["manual"]
    view = http.get(f"/api/v1/nodes/{a['id']}/lineage", headers=admin).json
    assert [(e["source"], e["target"]) for e in view["edges"]] == [(a["id"], b["id"])]
    url = f"/api/v1/edges/{edge.json['id']}"
    note = http.post(f"{url}/annotations", json={"text": "by contract"}, headers=web.bearer("responder"))
    assert note.status_code == 201
    assert http.get(url, headers=admin).json["annotations"][0]["text"] == "by contract"
    assert (
        http.get("/api/v1/edges", query_string={"node": b["id"]}, headers=admin).json["items"][0]["source"]
        == a["id"]
    )
    assert http.delete(url, headers=admin).json["holds"] is False
    back = http.patch(url, json={"retired": False, "version": 2}, headers=admin)
    assert back.json["holds"] is True
    one = http.post(f"/api/v1/nodes/{b['id']}/merge", json={"other": c["id"]}, headers=admin).json
    assert len(one["aliases"]) == 2
    for id_ in (b["id"], c["id"]):
        assert http.get(f"/api/v1/nodes/{id_}", headers=admin).json["id"] == one["id"]
    two = http.post(f"/api/v1/nodes/{one['id']}/split", json={"alias": c["id"]}, headers=admin).json
    assert {two["node"]["id"], two["split"]["id"]} == {b["id"], c["id"]}
    url = f"/api/v1/nodes/{a['id']}/annotations"
    mine = http.post(url, json={"text": "mine"}, headers=web.bearer("responder")).json
    other = web.bearer("responder", "another")
    assert http.delete(f"/api/v1/annotations/{mine['id']}", headers=other).status_code == 403
    assert http.delete(f"/api/v1/annotations/{mine['id']}", headers=admin).status_code == 204
    assert http.get(url, headers=admin).json["items"] == []


def test_teams_rules_files_and_bulk_edits(web: Web) -> None:
    admin, http = web.bearer("admin"), web.client()
    a, b = make(web, "d.s.a"), make(web, "d.s.b")
    team = http.post("/api/v1/teams", json={"name": "Sales", "patterns": ["*/d.s.a"]}, headers=admin)
    assert team.status_code == 201 and team.json["owned"] == 1
    owned = http.get("/api/v1/nodes?team=sales", headers=admin).json["items"]
    assert [n["id"] for n in owned] == [a["id"]]
    url = f"/api/v1/teams/{team.json['id']}"
    assert http.patch(url, json={"description": "x", "version": 1}, headers=admin).json["version"] == 2
    assert http.patch(url, json={"description": "y", "version": 1}, headers=admin).status_code == 412
    file = {"text": "- select: {name: d.s.b}\n  set: {owner: Sales}\n", "format": "yaml"}
    seen = http.post("/api/v1/assign/preview", json=file, headers=admin)
    assert seen.json["changes"][0] | {"node": "", "namespace": ""} == {
        "node": "", "namespace": "", "name": "d.s.b", "line": 1, "field": "owner", "before": None, "after": "Sales",
        "kept": None, "manual": False,
    }  # fmt: skip
    assert http.post("/api/v1/assign", json=file, headers=admin).status_code == 200
    assert len(http.get("/api/v1/nodes?team=sales", headers=admin).json["items"]) == 2
    wrong = http.post("/api/v1/assign", json=file | {"text": "- set: {}"}, headers=admin)
    assert wrong.status_code == 422 and "line 1" in wrong.json["error"]["message"]
    bulk = {"ids": [a["id"], b["id"]], "set": {"criticality": 2}, "versions": {a["id"]: 1}}
    assert http.post("/api/v1/nodes/bulk-edit", json=bulk, headers=admin).json == {"changed": 2}
    assert http.post("/api/v1/nodes/bulk-edit", json=bulk, headers=admin).status_code == 412
    rule = http.post("/api/v1/naming-rules", json={"kind": "ignore", "pattern": "/tmp_"}, headers=admin)
    assert rule.status_code == 201
    ignored = http.post(
        "/api/v1/nodes", json={"type": "dataset", "namespace": NS, "name": "tmp_db.s.x"}, headers=admin
    )
    assert (ignored.status_code, ignored.json["error"]["field"]) == (422, "name")
    tried = [
        http.post(
            "/api/v1/naming-rules/try",
            json={"type": "dataset", "namespace": NS, "name": name},
            headers=admin,
        ).json
        for name in ("tmp_db.s.x", '"d"."s".B', "d.s.unheard_of")
    ]
    assert [t["ignored"] for t in tried] == [True, False, False]
    assert [t["name"] for t in tried] == [None, "d.s.b", "d.s.unheard_of"]
    assert [t["node_id"] for t in tried] == [None, b["id"], None]
    globs = {"patterns": ["*/d.s.*", "*/none"]}
    assert http.post("/api/v1/teams/matched", json=globs, headers=admin).json["items"] == [
        {"pattern": "*/d.s.*", "nodes": 2}, {"pattern": "*/none", "nodes": 0},
    ]  # fmt: skip
    path = f"/api/v1/naming-rules/{rule.json['id']}"
    assert http.patch(path, json={"pattern": "/tmp__"}, headers=admin).status_code == 422  # says no version
    edited = http.patch(path, json={"pattern": "/temp_", "version": 1}, headers=admin)
    assert (edited.json["pattern"], edited.json["version"]) == ("/temp_", 2)
    late = http.patch(path, json={"pattern": "/t_", "version": 1}, headers=admin)
    assert (late.status_code, late.json["error"]["changes"]) == (
        412, {"pattern": {"yours": "/t_", "theirs": "/temp_"}},
    )  # fmt: skip
    assert http.delete(path, headers=admin | {"If-Match": "1"}).status_code == 412
    assert http.delete(path, headers=admin | {"If-Match": "2"}).status_code == 204
    assert http.get("/api/v1/naming-rules/applied", headers=admin).status_code == 404
    asked = http.post("/api/v1/naming-rules/apply", headers=admin)
    assert asked.status_code == 202 and asked.json["ended_at"] is None
    assert http.post("/api/v1/naming-rules/apply", headers=admin).status_code == 409
    assert http.get("/api/v1/naming-rules/applied", headers=admin).json["id"] == asked.json["id"]
    assert http.get("/api/v1/naming-rules", headers=admin).json["items"] == []


def test_questions_and_files_of_impact(web: Web) -> None:
    from by_hand import project

    admin, viewer, http = web.bearer("admin"), web.bearer("viewer"), web.client()
    a, b = make(web, "d.s.a"), make(web, "d.s.b")
    job = make(web, "load", type="job", namespace="airflow")
    for source, target in ((a, job), (job, b)):
        assert (
            http.post(
                "/api/v1/edges", json={"source": source["id"], "target": target["id"]}, headers=admin
            ).status_code
            == 201
        )
    project(web.record, web.dlv.graph)
    url = f"/api/v1/nodes/{a['id']}"
    said = http.get(f"{url}/impact", headers=viewer).json
    assert (said["total"], said["cut"], [i["hop"] for i in said["items"]]) == (2, False, [1, 1])
    assert said["by_hop"] == [{"key": 1, "n": 2}]
    part = http.get(f"{url}/impact?limit=1", headers=viewer).json
    rest = http.get(f"{url}/impact", query_string={"limit": 1, "cursor": part["next"]}, headers=viewer).json
    assert part["cut"] and {part["items"][0]["id"], rest["items"][0]["id"]} == {b["id"], job["id"]}
    assert http.get(f"{url}/impact?kind=table&kind=view", headers=viewer).json["total"] == 1
    assert http.get(f"{url}/impact?as_of=2020-01-01T00:00:00Z", headers=viewer).json["total"] == 0
    assert http.get("/api/v1/paths", query_string={"from": a["id"], "to": b["id"]}, headers=viewer).json[
        "paths"
    ] == [[a["id"], job["id"], b["id"]]]
    assert http.get(f"{url}/causes", headers=viewer).json["items"] == []
    file = http.get(f"{url}/impact.csv", headers=viewer)
    assert file.headers["Content-Disposition"] == 'attachment; filename="downstream-d.s.a.csv"'
    assert {r["name"] for r in csv.DictReader(io.StringIO(file.text))} == {"load", "d.s.b"}
    assert http.get(f"{url}/impact.json", headers=viewer).json["total"] == 2
    assert (
        http.get("/api/v1/audit?action=impact.export", headers=admin).json["items"][0]["actor_name"]
        == "the-viewer"
    )
    assert http.get("/api/v1/search?q=d.s", headers=viewer).json["items"][0]["name"] in ("d.s.a", "d.s.b")
    assert http.get(f"{url}/detail", headers=viewer).json["downstream"] == 1
    assert http.get("/api/v1/nodes/options", headers=viewer).json["kind"][0] == {"key": "table", "n": 2}
    for path in ("runs", "schema", "folded?direction=downstream"):
        assert http.get(f"{url}/{path}", headers=viewer).status_code == 200
    for bad, field in (
        ("impact?depth=0", "depth"),
        ("impact?cursor=x", "cursor"),
        ("lineage?up=99", "up"),
        ("impact?colour=red", "colour"),
    ):
        answer = http.get(f"{url}/{bad}", headers=viewer)
        assert (answer.status_code, answer.json["error"]["field"]) == (422, field)


def test_while_the_graph_is_away_impact_says_so_and_the_rest_answers(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make(web, "d.s.a")
    viewer, http = web.bearer("viewer"), web.client()

    def away(*_: Any, **__: Any) -> None:
        raise GraphAway("the graph does not answer")

    monkeypatch.setattr(reach, "impact", away)
    answer = http.get(f"/api/v1/nodes/{a['id']}/impact", headers=viewer)
    assert answer.status_code == 503 and answer.json["error"]["code"] == "graph_away"
    assert int(answer.headers["Retry-After"]) > 0
    assert http.get(f"/api/v1/nodes/{a['id']}/lineage", headers=viewer).status_code == 200


def test_viewers_only_read_and_responders_only_annotate(web: Web) -> None:
    a = make(web, "d.s.a")
    http, url = web.client(), f"/api/v1/nodes/{a['id']}"
    writes: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/nodes", {"type": "dataset", "namespace": NS, "name": "d.s.z"}),
        ("PATCH", url, {"tags": [], "version": 1}),
        ("DELETE", url, None),
        ("POST", f"{url}/merge", {"other": a["id"]}),
        ("POST", f"{url}/split", {"alias": a["id"]}),
        ("POST", "/api/v1/nodes/bulk-edit", {"ids": [a["id"]], "set": {}}),
        ("POST", "/api/v1/edges", {"source": a["id"], "target": a["id"]}),
        ("POST", "/api/v1/teams", {"name": "x"}),
        ("POST", "/api/v1/naming-rules", {"kind": "ignore", "pattern": "x"}),
        ("POST", "/api/v1/assign", {"text": "", "format": "yaml"}),
        ("POST", "/api/v1/assign/preview", {"text": "", "format": "yaml"}),
    ]
    for role in ("viewer", "responder"):
        for method, path, body in writes:
            answer = http.open(path, method=method, json=body, headers=web.bearer(role))
            assert answer.status_code == 403, (role, method, path)
    assert (
        http.post(f"{url}/annotations", json={"text": "x"}, headers=web.bearer("viewer")).status_code == 403
    )
    assert (
        http.post(f"{url}/annotations", json={"text": "x"}, headers=web.bearer("responder")).status_code
        == 201
    )
    assert http.get(url, headers=web.bearer("viewer")).json["version"] == 1
    assert http.get(url).status_code == 401
