"""The wall, the status, badges and figures over HTTP: what they say, what an unchanged poll costs, how large it gets."""

from __future__ import annotations

import gzip
import json
import random
import string
import uuid
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import brotli
import pytest

from answers import status, wall
from tests.integration.alarms import a_team, an_incident
from tests.web import Web

NOW = datetime.now(UTC)


def add(web: Web, name: str, health: str = "ok", **more: Any) -> UUID:
    """A node on the map, with its health as the fold leaves it."""
    id_ = more.pop("id", None) or uuid.uuid4()
    row = {
        "type": "job", "kind": "task", "system": "airflow", "environment": "prod", "namespace": "airflow-prod",
        "health_since": None if health == "unknown" else NOW - timedelta(hours=3), "health_reason": "" if health == "ok" else f"{name} is {health}",
        "first_seen": NOW - timedelta(days=9), "last_seen": NOW, "parent_id": None, "owner_name": "", "running": False,
        "criticality": None, "owner_id": None,
    } | more  # fmt: skip
    with web.record.tx() as conn:
        conn.execute(
            """insert into alias (id, environment, namespace, name, type, kind, system, node_id, first_seen, last_seen)
               values (%(id)s, %(environment)s, %(namespace)s, %(name)s, %(type)s, %(kind)s, %(system)s, %(id)s,
                       %(first_seen)s, %(last_seen)s)""",
            row | {"id": id_, "name": name},
        )
        conn.execute(
            """insert into node (id, type, kind, system, environment, namespace, name, health, health_since, health_reason,
                                 first_seen, last_seen, parent_id, owner_name, owner_id, running, criticality)
               values (%(id)s, %(type)s, %(kind)s, %(system)s, %(environment)s, %(namespace)s, %(name)s, %(health)s,
                       %(health_since)s, %(health_reason)s, %(first_seen)s, %(last_seen)s, %(parent_id)s, %(owner_name)s,
                       %(owner_id)s, %(running)s, %(criticality)s)""",
            row | {"id": id_, "name": name, "health": health},
        )
    seen(web)
    return id_


def seen(web: Web) -> None:
    """What is kept for a moment is looked at anew."""
    status.forget(web.record)
    wall.forget(web.record)


def ask(web: Web, query: str = "", **headers: str) -> Any:
    return web.client().get(f"/api/v1/wall{query}", headers=web.bearer("viewer") | headers)


def tiles(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{name: row} with what a row points to."""
    out = {}
    for row in said["rows"]:
        r = dict(zip(wall.ROW, row, strict=False))
        r |= dict(zip(wall.KIND, said["kinds"][r["kind"]], strict=True))
        r["namespace"], r["environment"] = said["places"][r["place"]]
        r |= {"team": said["teams"][r["team"]], "pipeline": said["pipelines"][r["pipeline"]]}
        out[r["name"]] = r
    return out


def test_a_tile_says_status_name_system_namespace_and_its_last_day(web: Web, graph: Any) -> None:
    dag = add(web, "daily", kind="dag")
    id_ = add(web, "daily.load", "failed", parent_id=dag, owner_name="Ingest", criticality=2, running=True)
    with web.record.tx() as conn:
        conn.execute(
            "insert into transition (node_id, at, was, now, reason) values (%s, %s, 'ok', 'failed', 'x')",
            (id_, NOW - timedelta(hours=3)),
        )
    said = ask(web).json
    tile = tiles(said)["daily.load"]
    assert tile["id"] == wall.short(id_)
    assert (wall.STATES[tile["health"]], tile["system"], tile["namespace"]) == (
        "failed",
        "airflow",
        "airflow-prod",
    )
    assert (tile["label"], tile["environment"], tile["team"]) == ("Airflow task", "prod", "Ingest")
    assert tile["pipeline"] == [str(dag), "daily"] and tiles(said)["daily"]["pipeline"] == [str(dag), "daily"]
    assert tile["reason"] == "daily.load is failed" and tile["marks"] == 1 + 2 * 8
    bars = wall.unpacked(tile["bars"])
    # an hour more where one ends while this runs
    assert set(bars[:19]) == {"ok"} and set(bars[-3:]) == {"failed"}
    assert [r[1] for r in said["rows"]] == ["daily.load", "daily"], "worst first"


def test_nodes_of_which_nothing_was_ever_known_wait_behind_a_button(web: Web, graph: Any) -> None:
    add(web, "known")
    add(web, "never heard of", "unknown")
    add(web, "gone quiet", "unknown", health_since=NOW)
    checked = add(web, "checked", "unknown")
    with web.record.tx() as conn:
        conn.execute(
            """insert into health_check (id, name, kind, node_id, every_seconds, muted_until)
               values (gen_random_uuid(), 'up', 'reachable', %s, 60, now() + interval '1 hour')""",
            (checked,),
        )
    seen(web)
    said = ask(web).json
    assert set(tiles(said)) == {"known", "gone quiet", "checked"} and said["unheard"] == 1
    assert tiles(said)["checked"]["marks"] == 2, "muted"
    assert set(tiles(ask(web, "?unknown=true").json)) == {"known", "gone quiet", "checked", "never heard of"}


def test_an_unchanged_poll_is_empty_and_a_change_is_not(web: Web, graph: Any) -> None:
    id_ = add(web, "load")
    first = ask(web)
    again = ask(web, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    wall.forget(web.record)  # looked at anew, and nothing happened
    again = ask(web, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert int(again.headers["Age"]) >= 0
    with web.record.tx() as conn:
        conn.execute("update node set health = 'late', health_since = now() where id = %s", (id_,))
    seen(web)
    changed = ask(web, **{"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200 and changed.headers["ETag"] != first.headers["ETag"]


def test_a_silence_shows_on_the_tiles_it_covers_until_its_end(web: Web, graph: Any) -> None:
    from store import silences, teams
    from store.audit import SYSTEM

    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    with web.record.tx() as conn:
        team = teams.create(conn, SYSTEM, {"name": "Ingest"})["id"]
    node = add(web, "named", "failed")
    add(web, "of the team", owner_id=team)
    add(web, "not meant", "failed")
    before = ask(web)
    assert before.json["silences"] == []
    with web.record.tx() as conn:
        said = {"reason": "migration", "nodes": [node], "ends_at": end}
        one = silences.create(conn, SYSTEM, said)
        silences.create(conn, SYSTEM, said | {"nodes": [], "teams": [team], "kind": "maintenance"})
        silences.create(conn, SYSTEM, said | {"starts_at": end, "ends_at": end + timedelta(hours=1)})
        silences.create(conn, SYSTEM, said | {"reason": "shorter", "ends_at": end - timedelta(hours=1)})
    seen(web)
    answer = ask(web)
    shown = {
        name: answer.json["silences"][t["silence"]]
        for name, t in tiles(answer.json).items()
        if "silence" in t
    }
    until = end.isoformat().replace("+00:00", "Z")
    assert shown == {
        "named": ["silence", until, "migration"],
        "of the team": ["maintenance", until, "migration"],
    }
    assert tiles(answer.json)["named"]["reason"] == "named is failed"
    detail = web.client().get(f"/api/v1/nodes/{node}/detail", headers=web.bearer("viewer")).json
    assert detail["silence"] == {
        "id": str(one["id"]), "kind": "silence", "reason": "migration", "until": until,
    }  # fmt: skip
    wall.forget(web.record)
    assert ask(web, **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
    with web.record.tx() as conn:
        conn.execute("update silence set ended_at = now()")
    seen(web)
    assert ask(web).json["rows"] == before.json["rows"]
    detail = web.client().get(f"/api/v1/nodes/{node}/detail", headers=web.bearer("viewer")).json
    assert detail["silence"] is None


def test_it_is_sent_packed_to_who_takes_it(web: Web, graph: Any) -> None:
    for i in range(40):
        add(web, f"load_{i}")
    plain = ask(web).data
    br, gz = ask(web, **{"Accept-Encoding": "gzip, br"}), ask(web, **{"Accept-Encoding": "gzip"})
    assert br.headers["Content-Encoding"] == "br" and brotli.decompress(br.data) == plain
    assert gz.headers["Content-Encoding"] == "gzip" and gzip.decompress(gz.data) == plain


def test_five_hundred_tiles_with_a_day_each_fit_in_60_kb(web: Web, graph: Any) -> None:
    """Every hour of every tile is something else, and each is silenced: the worst there can be."""
    from store import silences
    from store.audit import SYSTEM

    rng = random.Random(7)
    with web.record.tx() as conn:
        all_ = {"reason": "the warehouse moves to its new home this weekend, DATA-1234"}
        silences.create(conn, SYSTEM, all_ | {"ends_at": datetime.now(UTC) + timedelta(days=2)})
    with web.record.tx() as conn, conn.cursor() as cur:
        for i in range(500):
            id_ = uuid.UUID(int=rng.getrandbits(128))
            name = f"shop_{rng.choice(['finance', 'growth', 'platform'])}.pipeline_{i:04}.load_step"
            system = rng.choice(["airflow", "spark", "dbt", "postgres", "kafka"])
            at = (system, f"{system}-prod-{rng.randrange(4)}")
            cur.execute(
                """insert into node (id, type, kind, system, environment, namespace, name, health, health_since,
                                     health_reason, first_seen, last_seen, owner_name, criticality)
                   values (%s, 'job', 'task', %s, 'prod', %s, %s, %s, now(), 'The last run failed: exit code 137',
                           now() - interval '9 days', now(), %s, 2)""",
                (id_, *at, name, "failed" if i % 10 == 0 else "ok", f"Team {i % 20}"),
            )
            cur.executemany(
                "insert into transition (node_id, at, was, now, reason) values (%s, %s, %s, %s, '')",
                [
                    (id_, NOW - timedelta(hours=h, minutes=5), *rng.sample(wall.STATES, 2))
                    for h in range(23, 0, -1)
                ],
            )
    seen(web)
    answer = ask(web)
    said = answer.json
    assert len(said["rows"]) == 500 and all("silence" in t for t in tiles(said).values())
    assert {len(r["bars"]) for r in tiles(said).values()} >= {12}, "no day of all is one colour"
    assert len(answer.data) <= 60_000


def test_what_cannot_be_shown_is_counted(web: Web, graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wall, "MOST", 2)
    for name, health in (("a", "ok"), ("b", "late"), ("c", "failed")):
        add(web, name, health)
    said = ask(web).json
    assert ([r[1] for r in said["rows"]], said["total"], said["cut"]) == (["c", "b"], 3, 1)


def test_the_environment_cuts_tiles_and_counts_alike(web: Web, graph: Any) -> None:
    add(web, "here", "failed")
    add(web, "there", "failed", environment="staging")
    add(web, "fine there", environment="staging")
    everything, staging = ask(web).json, ask(web, "?environment=staging").json
    assert (everything["counts"]["failed"], everything["counts"]["total"]) == (2, 3)
    assert (staging["counts"]["failed"], staging["counts"]["total"]) == (1, 2)
    assert set(tiles(staging)) == {"there", "fine there"}
    assert {r["name"] for r in staging["roots"]} == {"there"}
    header = web.client().get("/api/v1/status?environment=staging", headers=web.bearer("viewer"))
    said = header.json
    assert {k: said[k] for k in ("failed", "total", "roots", "incidents")} == {
        k: staging["counts"][k] for k in ("failed", "total", "roots", "incidents")
    }
    unchanged = web.client().get(
        "/api/v1/status?environment=staging",
        headers=web.bearer("viewer") | {"If-None-Match": header.headers["ETag"]},
    )
    assert unchanged.status_code == 304


def test_filters_cut_and_words_match(web: Web, graph: Any) -> None:
    add(web, "load_orders", owner_name="Ingest")
    add(web, "orders", type="dataset", kind="table", system="postgres", namespace="postgres://db:5432")
    assert set(tiles(ask(web, "?type=dataset").json)) == {"orders"}
    assert set(tiles(ask(web, "?system=airflow").json)) == {"load_orders"}
    assert set(tiles(ask(web, "?team=ingest").json)) == {"load_orders"}
    assert set(tiles(ask(web, "?q=orders").json)) == {"load_orders", "orders"}
    assert ask(web, "?color=red").status_code == 422


def test_an_open_incident_stands_on_top_and_its_root_is_not_told_twice(web: Web, graph: Any) -> None:
    root, other = add(web, "load", "failed"), add(web, "other", "failed")
    with web.record.tx() as conn:
        id_ = uuid.uuid4()
        conn.execute(
            """insert into incident (id, key, root_node, title, error, severity, opened_at, blast)
               values (%s, 'k', %s, 'load failed', 'exit code 137', 2, now() - interval '5 minutes',
                       '{"total": 12, "by_hop": [{"key": 1, "n": 12}], "teams": [{"id": "x", "name": "A", "n": 3}]}')""",
            (id_, root),
        )
        conn.execute(
            """insert into incident_member (incident_id, node_id, role, health, joined_at)
               values (%s, %s, 'root', 'failed', now())""",
            (id_, root),
        )
    seen(web)
    said = ask(web).json
    [i] = said["incidents"]
    assert (i["incident"], i["severity"], i["name"], i["error"]) == (str(id_), 2, "load", "exit code 137")
    assert (i["total"], i["hops"], i["teams"], i["failed"], i["taken"]) == (12, 1, 1, 1, "")
    assert [r["node"] for r in said["roots"]] == [str(other)]
    assert said["counts"]["incidents"] == {
        "open": 1, "unacknowledged": 1, "by_severity": {"1": 0, "2": 1, "3": 0, "4": 0},
    }  # fmt: skip


def test_incidents_stand_by_severity_with_owner_and_age(web: Web, graph: Any) -> None:
    told = [
        (3, 50, "three"),
        (1, 10, "one"),
        (4, 5, "four"),
        (2, 30, "two, the older"),
        (2, 20, "two, the newer"),
    ]
    teams = {}
    with web.record.tx() as conn:
        for _, _, name in told:
            teams[name] = a_team(conn, f"Team of {name}")
    opened = {}
    for severity, minutes, name in told:
        node = add(web, name, "failed", owner_id=teams[name], owner_name=f"Team of {name}")
        opened[name] = NOW - timedelta(minutes=minutes)
        with web.record.tx() as conn:
            an_incident(conn, node, title=f"{name} failed", severity=severity, opened_at=opened[name])
    with web.record.tx() as conn:
        conn.execute("update incident set owner_id = %s where title like 'one%%'", (teams["four"],))
    seen(web)
    said = ask(web).json["incidents"]
    assert [i["severity"] for i in said] == [1, 2, 2, 3, 4]
    assert [i["name"] for i in said] == ["one", "two, the newer", "two, the older", "three", "four"]
    assert [datetime.fromisoformat(i["since"]) for i in said] == [opened[i["name"]] for i in said]
    assert {i["name"]: i["owner"] for i in said} == {
        n: f"Team of {n}" for _, _, n in told
    } | {"one": "Team of four"}, "whom it was given to, else who owns the root"  # fmt: skip
    assert [i["name"] for i in web.client().get("/api/v1/incidents", headers=web.bearer("viewer")).json["items"]] == [
        f"INC-{i['number']}" for i in said
    ], "the page of incidents has the same order"  # fmt: skip


def test_a_tile_asked_why_names_cause_way_radius_and_who_to_call(web: Web, graph: Any) -> None:
    from store import teams
    from store.audit import SYSTEM
    from tests.browser import estate
    from tests.browser.browsing import Site

    estate.seed(web.record, estate.all_events(estate.utcnow()))
    site = Site("", web, [])
    site.project()
    with web.record.tx() as conn:
        teams.create(
            conn,
            SYSTEM,
            {
                "name": "Payments",
                "people": [{"name": "Ada", "email": "ada@shop.example"}],
                "channels": [{"kind": "slack", "target": "#payments-oncall"}],
                "patterns": ["*payments_daily.load_payments"],
            },
        )
    seen(web)
    symptom = site.id("shop.analytics.stg_payments")
    said = wall.why(web.dlv, symptom)
    [cause] = said["causes"]
    assert (cause["name"], cause["error"], cause["log_url"]) == (
        "payments_daily.load_payments",
        estate.ERROR,
        estate.LOG,
    )
    assert [n["name"] for n in cause["path"]] == [
        "payments_daily.load_payments", "shop.raw.payments", "stg_payments", "shop.analytics.stg_payments",
    ]  # fmt: skip
    whole = web.client().get(f"/api/v1/nodes/{cause['id']}/impact", headers=web.bearer("viewer")).json
    assert said["blast"] == {k: whole[k] for k in ("total", "by_hop", "by_team")}
    [team] = said["call"]
    assert (team["name"], team["owns"], team["people"][0]["email"]) == ("Payments", True, "ada@shop.example")
    root = wall.why(web.dlv, cause["id"])
    assert [c["id"] for c in root["causes"]] == [cause["id"]] and root["causes"][0]["path"] == []
    assert wall.why(web.dlv, site.id("shop.raw.orders"))["causes"] == []


# ---------------------------------------------------------------- badges


def badge(web: Web, kind: str, id_: UUID | str) -> str:
    answer = web.client().post(
        "/api/v1/badges", json={"kind": kind, "id": str(id_)}, headers=web.bearer("responder")
    )
    assert answer.status_code == 201, answer.text
    assert answer.json["url"] in answer.json["markdown"]
    url: str = answer.json["url"]
    return url[url.index("/api/") :]


#: what a token is written with
SIGNS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def label(image: bytes) -> str:
    return ET.fromstring(image).attrib["aria-label"]


def test_a_badge_is_open_to_who_has_its_address_and_to_nobody_else(web: Web, graph: Any) -> None:
    id_ = add(web, "daily.load <b>", "failed")
    path = badge(web, "node", id_)
    answer = web.client().get(path)
    assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
    assert label(answer.data) == "daily.load <b>: failed, root cause"
    assert "max-age=30" in answer.headers["Cache-Control"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert web.client().get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    token = path.removesuffix(".svg").rsplit("/", 1)[1]
    # two bits of the last character say nothing
    near = token[:-1] + SIGNS[SIGNS.index(token[-1]) ^ 1]
    for wrong in (near, "A" * 43, token[::-1]):
        assert web.client().get(f"/api/v1/badges/{wrong}.svg").status_code == 404
    assert badge(web, "node", id_) == path, "making it again closes nothing"
    refused = web.client().post(
        "/api/v1/badges", json={"kind": "node", "id": str(id_)}, headers=web.bearer("viewer")
    )
    assert refused.status_code == 403
    assert web.record.one("select 1 as x from audit_log where action = 'badge.make'")


def test_badges_of_a_pipeline_and_a_team_count(web: Web, graph: Any) -> None:
    from store import teams
    from store.audit import SYSTEM

    with web.record.tx() as conn:
        team = teams.create(conn, SYSTEM, {"name": "Ingest"})["id"]
    dag = add(web, "daily", kind="dag", owner_id=team, owner_name="Ingest")
    add(web, "daily.a", "failed", parent_id=dag)
    add(web, "daily.b", "late", parent_id=dag, owner_id=team, owner_name="Ingest")
    assert label(web.client().get(badge(web, "pipeline", dag)).data) == "daily: 1 failed, 1 late of 3"
    assert label(web.client().get(badge(web, "team", team)).data) == "Ingest: 1 late of 2"
    nobody = web.client().post(
        "/api/v1/badges", json={"kind": "team", "id": str(uuid.uuid4())}, headers=web.bearer("responder")
    )
    assert nobody.status_code == 404


# ---------------------------------------------------------------- figures


def test_the_figures_tell_of_incidents_checks_and_what_waits(web: Web, graph: Any) -> None:
    node = add(web, "load", "failed")
    with web.record.tx() as conn:
        conn.execute(
            """insert into incident (id, key, root_node, title, severity, opened_at)
               values (gen_random_uuid(), 'k', %s, 't', 1, now())""",
            (node,),
        )
        check = conn.execute(
            """insert into health_check (id, name, kind, node_id, every_seconds)
               values (gen_random_uuid(), 'up', 'reachable', %s, 60) returning id""",
            (node,),
        ).fetchone()
        assert check
        conn.execute("insert into check_state (check_id, status) values (%s, 'fail')", (check["id"],))
        conn.execute(
            "insert into transition_pending (transition_id, marked_at) values (1, now() - interval '90 seconds')"
        )
    text = web.client().get("/metrics", headers=web.key("read")).text
    said = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert (
        said['dlv_incidents_open{severity="1"}'] == "1.0"
        and said['dlv_incidents_open{severity="2"}'] == "0.0"
    )
    assert said['dlv_checks{status="fail"}'] == "1.0"
    assert float(said["dlv_transitions_undecided_seconds"]) >= 90
    assert {
        "dlv_slots_pending",
        "dlv_slots_lag_seconds",
        "dlv_notifications_pending",
        "dlv_notifications_failed",
    } <= set(said)
    assert json.dumps(said).count(str(node)) == 0, "no figure names a node"
