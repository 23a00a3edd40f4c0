"""Incidents over REST: read, acknowledge, assign, comment, silence, close, and the postmortem."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from store import incidents, teams
from store.audit import SYSTEM
from tests.integration import alarms
from tests.integration.breaking import Breaking, layered, uid
from tests.web import Web

NOW = datetime(2026, 11, 27, 6, tzinfo=UTC)
pytestmark = pytest.mark.xdist_group("incidents")


@pytest.fixture
def broken(web: Web, graph: Any) -> Breaking:
    """Root 0 failed and two nodes below it followed; dashboards of a team lie below, one with an SLA."""
    estate = Breaking(web.record, graph, web.settings, layered(60, 40), NOW - timedelta(days=1))
    with web.record.tx() as conn:
        team = teams.create(
            conn, SYSTEM, {"name": "Finance <b>", "people": [{"name": "Ann", "email": "ann@example.org"}]}
        )
        conn.execute(
            "update node set name = 'load|orders', owner_id = %s where id = %s", (team["id"], uid(0))
        )
        conn.execute(
            """update node set name = 'Executive revenue', kind = 'dashboard', criticality = 1, owner_id = %s,
                      owner_name = 'Finance <b>', sla_kind = 'freshness', sla_minutes = 1500, sla_at = %s where id = %s""",
            (team["id"], NOW + timedelta(hours=1), uid(25)),
        )
    estate.turn(uid(0), "failed", NOW, noted=NOW, reason="KeyError: '*amount*'\nTraceback: more")
    estate.turn_all([(uid(1), "failed", NOW), (uid(11), "late", NOW + timedelta(minutes=4))], noted=NOW)
    estate.decide(NOW)
    return estate


def test_one_incident_whole(web: Web, broken: Breaking) -> None:
    client, who = web.client(), web.bearer("viewer")
    page = client.get("/api/v1/incidents", headers=who).json
    (item,) = page["items"]
    assert item["title"] == "load|orders failed"
    assert item["error"] == "KeyError: '*amount*'"
    assert item["members"] == {"total": 3, "failed": 2, "late": 1, "recovered": 0}
    assert item["owner_name"] == "Finance <b>"
    assert item["blast"]["total"] == 40
    assert item["at_risk"] == 38
    assert [c["name"] for c in item["blast"]["critical"]] == ["Executive revenue"]
    assert item["blast"]["datasets"][0]["name"] == "Executive revenue"
    assert (
        item["blast"]["datasets"][0]["breaks_at"] == item["blast"]["next_sla"]["at"] == "2026-11-27T07:00:00Z"
    )
    assert item["severity"] == 1
    assert item["severity_why"][0] == "next SLA breaks in 60 min: Executive revenue at 07:00 UTC"
    whole = client.get(f"/api/v1/incidents/INC-{item['number']}", headers=who).json
    assert (whole["member_list"][0]["name"], whole["member_list"][0]["role"]) == ("load|orders", "root")
    causes = {m["id"]: m["cause"] for m in whole["member_list"]}
    assert causes == {str(uid(0)): None, str(uid(1)): str(uid(0)), str(uid(11)): str(uid(1))}
    kinds = [e["kind"] for e in whole["timeline"]["items"]]
    assert sorted(kinds) == ["joined", "joined", "opened", "transition", "transition", "transition"]
    of_node = client.get(f"/api/v1/nodes/{uid(11)}/incidents", headers=who).json
    assert [i["id"] for i in of_node["items"]] == [item["id"]]
    for query, n in (
        (f"node={uid(1)}", 1), (f"node={uid(2)}", 0), ("severity=1", 1), ("severity=4", 0), ("team=finance <b>", 1),
        ("team=none", 0), ("status=resolved", 0), ("status=open&status=resolved", 1), ("acknowledged=true", 0),
    ):  # fmt: skip
        assert len(client.get(f"/api/v1/incidents?{query}", headers=who).json["items"]) == n, query
    tag = client.get("/api/v1/incidents", headers=who).headers["ETag"]
    assert client.get("/api/v1/incidents", headers=who | {"If-None-Match": tag}).status_code == 304


def test_pages_of_one_environment_are_full(web: Web) -> None:
    """What is filtered away leaves no holes in a page; a quiet producer is of every environment."""
    with web.record.tx() as conn:
        for n in range(9):
            node = alarms.a_node(conn, f"t{n}", environment="prod" if n % 3 else "dev")
            alarms.an_incident(conn, node, title=f"t{n}", opened_at=NOW - timedelta(minutes=n + 1))
        row = conn.execute("insert into producer (name) values ('airflow') returning id").fetchone()
        assert row
        incidents.open_producer(conn, row["id"], "no event for an hour", NOW)
    client, who = web.client(), web.bearer("viewer")

    def pages(query: str) -> list[list[str]]:
        out, cursor = [], ""
        while True:
            page = client.get(f"/api/v1/incidents?limit=3&{query}{cursor}", headers=who).json
            out.append([i["title"] for i in page["items"]])
            if page["next"] is None:
                return out
            cursor = f"&cursor={page['next']}"

    quiet = "No events from airflow"
    assert pages("environment=dev&sort=opened") == [[quiet, "t0", "t3"], ["t6"]]
    assert pages("environment=prod") == [[quiet, "t1", "t2"], ["t4", "t5", "t7"], ["t8"]]
    assert [len(p) for p in pages("environment=prod&environment=dev")] == [3, 3, 3, 1]
    assert pages("environment=nowhere") == [[quiet]]


def test_a_responder_works_on_it(web: Web, broken: Breaking) -> None:
    client, who = web.client(), web.bearer("responder")
    id_ = client.get("/api/v1/incidents", headers=who).json["items"][0]["id"]
    base = f"/api/v1/incidents/{id_}"

    def post(what: str, json: Any = None, **headers: str) -> Any:
        return client.post(f"{base}/{what}", json=json, headers=who | headers)

    assert post("acknowledge").json["acknowledged_by"] == "the-responder"
    assert post("assign", {"assignee": "Bob"}).json["assignee"] == "Bob"
    assert post("assign", {"owner": None}).json["owner"] is None
    assert post("comments", {"text": "the `orders` export has no amount\nsince 05:40"}).status_code == 201
    version = client.get(base, headers=who).json["version"]
    lost = post("assign", {"assignee": "Carol"}, **{"If-Match": str(version - 1)})
    assert (lost.status_code, lost.json["error"]["code"]) == (412, "changed")
    quiet = post("silence", {"minutes": 30, "reason": "we know"})
    assert quiet.status_code == 200
    (silence,) = client.get("/api/v1/silences", headers=who).json["items"]
    assert silence["nodes"] == [str(uid(0))]
    assert post("silence", {"reason": "both missing"}).status_code == 422
    assert post("assign", {}).status_code == 422
    assert post("assign", {"owner": str(uuid4())}).status_code == 422
    assert post("resolve", {"reason": ""}).status_code == 422
    assert post("resolve", {"reason": "export repaired"}).json["status"] == "resolved"
    assert post("acknowledge").status_code == 409
    assert client.post(f"/api/v1/incidents/{uuid4()}/acknowledge", headers=who).status_code == 404
    kinds = [e["kind"] for e in client.get(f"{base}/timeline?limit=5", headers=who).json["items"]]
    assert kinds == ["resolved", "silenced", "commented", "assigned", "assigned"]
    viewer = web.bearer("viewer")
    assert client.post(f"{base}/acknowledge", headers=viewer).status_code == 403


def test_the_postmortem_is_markdown_that_nobody_can_write_into(web: Web, broken: Breaking) -> None:
    client, who = web.client(), web.bearer("responder")
    item = client.get("/api/v1/incidents", headers=who).json["items"][0]
    client.post(f"/api/v1/incidents/{item['id']}/comments", json={"text": "<img src=x> | fixed"}, headers=who)
    answer = client.get(f"/api/v1/incidents/{item['id']}/postmortem?download=true", headers=who)
    assert answer.headers["Content-Type"].startswith("text/markdown")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="INC-{item["number"]}.md"'
    text = answer.text
    assert text.startswith(f"# INC-{item['number']}: load\\|orders failed\n")
    assert "> KeyError: '\\*amount\\*'" in text
    assert "2 more nodes failed or went late because of it. 40 lie below it in" in text
    assert "\\<img src=x\\> \\| fixed" in text
    assert not re.search(r"(?<!\\)<img", text)
    for part in (
        "Summary",
        "Root cause",
        "What it touched",
        "Timeline",
        "What people wrote",
        "What we change",
    ):
        assert f"\n## {part}\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| 2026-")]
    assert [r.split("|")[1].strip() for r in rows] == sorted(r.split("|")[1].strip() for r in rows)
