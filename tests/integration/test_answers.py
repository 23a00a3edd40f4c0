"""What people ask, on a real record and a real graph."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import by_hand as e
import pytest

from answers import causes, export, impact, lineage, nodes, paths, status, warm
from answers.context import Dlv
from errors import GraphAway, Invalid, NotFound
from graph import reach
from graph.driver import Graph
from settings import Settings
from store import materialise, teams
from store import nodes as node_store
from store.nodes import SORTS
from tests.integration import alarms
from workers import projector


@pytest.fixture
def dlv(record: Any, graph: Any, graph_settings: Settings) -> Dlv:
    return Dlv(graph_settings, record, graph)


def names(items: list[dict[str, Any]]) -> list[str]:
    return [n["name"] for n in items]


def now(dlv: Dlv) -> dict[str, Any]:
    status.forget(dlv.record)
    return status.counts(dlv)


def test_impact_counts_datasets_as_hops_and_filters_never_prune(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.raw", "load", "d.s.stg", "build", "d.s.mart")
        board = e.node(conn, "d.s.board", kind="dashboard")
        e.edge_store.create(conn, e.ADMIN, n["d.s.mart"], board)
        teams.create(conn, e.ADMIN, {"name": "Finance", "patterns": ["*/d.s.m*"]})
    e.project(dlv.record, dlv.graph)
    found = impact.impact(dlv, n["d.s.raw"])
    assert [(i["name"], i["hop"]) for i in found["items"]] == sorted(
        [("load", 1), ("d.s.stg", 1), ("build", 2), ("d.s.mart", 2), ("d.s.board", 3)],
        key=lambda p: (p[1], str(n.get(p[0], board))),
    ), "a stand-in job is drawn as a line and is not counted"
    assert found["total"] == 5 and not found["cut"] and found["next"] is None
    assert found["by_hop"] == [{"key": 1, "n": 2}, {"key": 2, "n": 2}, {"key": 3, "n": 1}]
    assert {(t["name"], t["n"]) for t in found["by_team"]} == {("Finance", 1), (None, 4)}
    only = impact.impact(dlv, n["d.s.raw"], filters={"kind": "dashboard"})
    assert names(only["items"]) == ["d.s.board"] and only["total"] == 1
    assert names(impact.impact(dlv, n["d.s.raw"], filters={"team": ["finance"]})["items"]) == ["d.s.mart"]
    assert impact.impact(dlv, n["d.s.raw"], filters={"team": ["nobody"]})["total"] == 0
    assert impact.impact(dlv, n["d.s.raw"], depth=1)["total"] == 2
    assert set(names(impact.impact(dlv, n["build"], "upstream")["items"])) == {"d.s.stg", "load", "d.s.raw"}


def test_impact_pages_meet_without_gap_or_overlap(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        top = e.node(conn, "d.s.top")
        for i in range(23):
            e.seen(conn, top, e.node(conn, f"job{i}", "job"))
    e.project(dlv.record, dlv.graph)
    seen: list[str] = []
    cursor = None
    while True:
        page = impact.impact(dlv, top, limit=10, cursor=cursor)
        assert page["total"] == 23
        seen += names(page["items"])
        cursor = page["next"]
        assert page["cut"] == (cursor is not None)
        if cursor is None:
            break
    assert sorted(seen) == sorted(f"job{i}" for i in range(23))


def test_reach_is_asked_of_the_graph_once_until_the_graph_changes(
    dlv: Dlv, monkeypatch: pytest.MonkeyPatch
) -> None:
    def project() -> None:
        while projector.project_once(dlv.record, dlv.graph):
            pass

    asked: list[Any] = []
    ask = reach.impact

    def counting(*given: Any) -> Any:
        asked.append(given)
        return ask(*given)

    monkeypatch.setattr(reach, "impact", counting)
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.raw", "load", "d.s.stg")
    project()
    for _ in range(3):
        assert names(impact.impact(dlv, n["d.s.raw"])["items"]) == ["load", "d.s.stg"]
    assert len(asked) == 1
    with dlv.record.tx() as conn:
        e.sick(conn, n["d.s.stg"])
    assert impact.impact(dlv, n["d.s.raw"])["items"][1]["health"] == "failed", "only reach is kept"
    assert len(asked) == 1
    for name in ("one", "two"):
        with dlv.record.tx() as conn:
            e.seen(conn, n["d.s.stg"], e.node(conn, name, "job"))
        project()
        assert name in names(impact.impact(dlv, n["d.s.raw"])["items"]), "at once"
    assert len(asked) == 3
    assert impact.impact(dlv, n["d.s.raw"], depth=1)["total"] == 2
    assert len(asked) == 4, "another question"
    # one that does not answer is asked: what is kept would hide it
    status.forget(dlv.record)
    monkeypatch.setattr(Graph, "read", away)
    with pytest.raises(GraphAway):
        impact.impact(dlv, n["d.s.raw"])


def test_nodes_are_told_as_their_rows_are(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        team = teams.create(conn, e.ADMIN, {"name": "Finance", "patterns": []})["id"]
        a = e.node(
            conn, "d.s.a", owner=str(team), sla={"kind": "freshness", "minutes": 90}, tags=["pii", 'ü"x']
        )
        conn.execute(
            """update node set first_seen = '2026-11-01 10:00:00.1204+02', last_seen = '2026-11-02 10:00:00+00',
               health_since = '0999-01-01 00:00:00.000001+00', retired_at = '2026-11-03 00:00:00.5-05:30' where id = %s""",
            (a,),
        )
        conn.execute("update alias set unresolved = 'two tables have this name' where node_id = %s", (a,))
        materialise.refresh(conn, [a])
        [row] = node_store.many(conn, [a])
    [told] = nodes.many(dlv, [UUID(int=5), a])
    for key in ("first_seen", "last_seen", "health_since", "retired_at", "made_at", "dropped_at"):
        assert told[key] == status.iso(row[key]), key
    same = (
        "type kind system environment namespace name aliases parent_name owner_name tags criticality description health "
        "health_reason running unresolved standin sources version"
    ).split()
    assert {k: told[k] for k in same} == {k: row[k] for k in same}
    assert (told["id"], told["owner"], told["parent_id"]) == (str(a), str(team), None)
    assert told["sla"] == {"kind": "freshness", "minutes": 90} and told["sources"]["owner"] == "manual"
    assert told["unresolved"] == "two tables have this name" and len(told["aliases"]) == 1


def away(*_: Any, **__: Any) -> Any:
    raise GraphAway("the graph does not answer")


def test_a_node_answers_to_every_name_and_what_is_no_node_says_so(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        a = e.node(conn, "d.s.a")
    assert nodes.get(dlv, a)["name"] == "d.s.a"
    found = nodes.page(dlv, {"namespace": "postgres://shop:5432", "name": "d.s.a"})
    assert [n["id"] for n in found["items"]] == [str(a)]
    for wrong in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(NotFound):
            nodes.get(dlv, wrong)
    with pytest.raises(Invalid):
        impact.impact(dlv, a, cursor="nonsense")
    with pytest.raises(Invalid):
        impact.impact(dlv, a, "sideways")


def test_root_symptom_and_at_risk_and_their_counts_agree_everywhere(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.raw", "load", "d.s.stg", "build", "d.s.mart", "export", "d.s.out")
        dag = e.node(conn, "dag", "job", kind="dag")
        conn.execute("update alias set parent_id = %s where id = %s", (dag, n["load"]))
        conn.execute("update node set parent_id = %s where id = %s", (dag, n["load"]))
        e.sick(conn, n["load"])
        e.sick(conn, dag)
        e.sick(conn, n["build"], "late")
    e.project(dlv.record, dlv.graph)
    said = now(dlv)
    assert {k: said[k] for k in ("failed", "late", "roots", "symptoms", "at_risk", "total")} == {
        "failed": 2, "late": 1, "roots": 1, "symptoms": 2, "at_risk": 4, "total": 8,
    }  # fmt: skip
    for role, count in (("root", 1), ("symptom", 2), ("at_risk", 4)):
        found = nodes.page(dlv, {"health": [role]})["items"]
        assert len(found) == count and all(i["role"] == role for i in found)
    why = causes.causes(dlv, n["d.s.out"])
    assert [(c["name"], c["root"]) for c in why["items"]] == [("load", True), ("build", False)]
    assert why["items"][0]["path"] == [
        str(n[k]) for k in ("load", "d.s.stg", "build", "d.s.mart", "export", "d.s.out")
    ]
    assert why["items"][0]["error"] == "boom"


def test_at_risk_ends_when_a_node_was_made_anew_after_its_root_recovered(dlv: Dlv) -> None:
    t = datetime.now(UTC) - timedelta(hours=2)
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.raw", "load", "d.s.stg", "build", "d.s.mart")
        made = "update node set made_at = %s where id = any(%s)"
        conn.execute(made, (t, [n["d.s.stg"], n["build"], n["d.s.mart"]]))
        e.sick(conn, n["load"], since=t)
    e.project(dlv.record, dlv.graph)
    assert now(dlv)["at_risk"] == 3
    with dlv.record.tx() as conn:
        conn.execute(
            "update node set health = 'ok', recovered_at = %s where id = %s",
            (t + timedelta(hours=1), n["load"]),
        )
        conn.execute(made, (t + timedelta(minutes=90), [n["d.s.stg"]]))
    said = now(dlv)
    assert (said["roots"], said["at_risk"]) == (0, 2), "stg was made anew, build and mart were not"
    with dlv.record.tx() as conn:
        conn.execute(made, (t + timedelta(minutes=95), [n["build"], n["d.s.mart"]]))
    assert now(dlv)["at_risk"] == 0


def test_without_the_graph_counts_and_canvas_stay_and_the_rest_says_why(record: Any, stack: Settings) -> None:
    from graph.driver import connect

    away = connect("bolt://127.0.0.1:1", "neo4j", "x", "")
    dlv = Dlv(stack, record, away)
    with record.tx() as conn:
        n = e.chain(conn, "d.s.raw", "load", "d.s.stg")
        e.sick(conn, n["load"])
    said = now(dlv)
    assert said["failed"] == 1 and said["at_risk"] is None and said["roots"] is None
    assert said["reason"] and said["parts"]["graph"]["ok"] is False and said["parts"]["graph"]["since"]
    assert nodes.get(dlv, n["load"])["at_risk"] is None
    assert len(lineage.around(dlv, n["load"])["nodes"]) == 3
    with pytest.raises(GraphAway):
        impact.impact(dlv, n["d.s.raw"])
    assert nodes.get(dlv, n["load"])["role"] is None
    with record.tx() as conn:
        alarms.an_incident(conn, n["load"])
    status.forget(record)
    assert nodes.get(dlv, n["load"])["role"] == "root", "the record knows what an incident holds"
    away.close()


def test_the_canvas_opens_one_dataset_away_and_folds_a_fan_but_never_what_is_bad(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        hub = e.node(conn, "d.s.hub")
        jobs = [e.node(conn, f"j{i:02}", "job") for i in range(40)]
        for job in jobs:
            e.seen(conn, hub, job)
        e.sick(conn, jobs[37])
        conn.execute("update node set criticality = 1 where id = %s", (jobs[20],))
        out = e.node(conn, "d.s.out")
        e.seen(conn, jobs[37], out)
        e.seen(conn, out, e.node(conn, "next", "job"))
    view = lineage.around(dlv, hub, up=0, down=1)
    drawn = set(names(view["nodes"]))
    assert {"d.s.hub", "j37", "j20", "d.s.out"} <= drawn and "next" not in drawn
    assert len(drawn) == 1 + lineage.FAN + 1
    (fold,) = view["folded"]
    assert fold == {"node": str(hub), "direction": "downstream", "count": 40 - lineage.FAN, "via": None}
    shown = [n["id"] for n in view["nodes"]]
    listed: list[str] = []
    cursor = None
    while True:
        page = lineage.folded(dlv, hub, "downstream", shown, limit=10, cursor=cursor)
        assert page["total"] == fold["count"]
        listed += names(page["items"])
        cursor = page["next"]
        if cursor is None:
            break
    assert set(listed) | drawn == {f"j{i:02}" for i in range(40)} | {"d.s.hub", "d.s.out"}
    assert not set(listed) & drawn
    picked = lineage.around(dlv, hub, up=0, down=1, also=[jobs[5]] if f"j{5:02}" in listed else [jobs[6]])
    assert len(picked["nodes"]) == len(view["nodes"]) + 1
    grown = lineage.around(dlv, hub, up=0, down=1, grown=[(out, "downstream")])
    assert "next" in names(grown["nodes"])
    rim = next(n for n in view["nodes"] if n["name"] == "d.s.out")
    assert rim["more"] == {"upstream": 0, "downstream": 1}


def test_hidden_jobs_leave_lines_between_datasets_and_lose_no_fold(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.a", "j", "d.s.b")
        board = e.node(conn, "d.s.board")
        e.edge_store.create(conn, e.ADMIN, n["d.s.b"], board)
        for i in range(30):
            e.seen(conn, n["j"], e.node(conn, f"d.s.x{i}"))
    view = lineage.around(dlv, n["d.s.b"], 1, 1, jobs=False)
    lines = {(x["source"], x["target"]): x for x in view["edges"]}
    assert set(lines) == {(str(n["d.s.a"]), str(n["d.s.b"])), (str(n["d.s.b"]), str(board))}
    assert lines[str(n["d.s.a"]), str(n["d.s.b"])]["via"] == [str(n["j"])]
    assert lines[str(n["d.s.b"]), str(board)]["standin"] is True
    view = lineage.around(dlv, n["d.s.a"], 0, 1, jobs=False)
    assert [(f["node"], f["direction"], f["via"]) for f in view["folded"]] == [
        (str(n["d.s.a"]), "downstream", str(n["j"]))
    ]
    assert view["folded"][0]["count"] == 31 - lineage.FAN
    with_jobs = lineage.around(dlv, n["d.s.b"], 1, 1)
    assert not any(x["standin"] for x in with_jobs["nodes"]), "a stand-in is a line, never a card"
    assert (str(n["d.s.b"]), str(board)) in {(x["source"], x["target"]) for x in with_jobs["edges"]}


def test_as_of_a_date_shows_what_held_then(dlv: Dlv) -> None:
    then = datetime.now(UTC) - timedelta(days=10)
    with dlv.record.tx() as conn:
        n = {k: e.node(conn, k, "job" if k == "j" else "dataset") for k in ("d.s.a", "j", "d.s.b")}
        e.seen(conn, n["d.s.a"], n["j"], first=then, last=then + timedelta(days=1))
        edge = e.seen(conn, n["j"], n["d.s.b"], first=then + timedelta(days=2))
        e.edge_store.retire(conn, e.ADMIN, edge)
    e.project(dlv.record, dlv.graph)
    before = lineage.around(dlv, n["j"], as_of=then + timedelta(days=1))
    assert set(names(before["nodes"])) == {"d.s.a", "j"}
    between = lineage.around(dlv, n["j"], as_of=then + timedelta(days=5))
    assert set(names(between["nodes"])) == {"d.s.a", "j", "d.s.b"}
    assert set(names(lineage.around(dlv, n["j"])["nodes"])) == {"d.s.a", "j"}
    assert impact.impact(dlv, n["d.s.a"])["total"] == 1
    assert impact.impact(dlv, n["d.s.a"], as_of=then + timedelta(days=5))["total"] == 2
    assert impact.impact(dlv, n["d.s.a"], as_of=then - timedelta(days=5))["total"] == 0


def test_paths_are_shortest_first_and_leave_stand_ins_out(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.a", "j1", "d.s.b", "j2", "d.s.c")
        e.edge_store.create(conn, e.ADMIN, n["d.s.a"], n["d.s.c"])
    e.project(dlv.record, dlv.graph)
    found = paths.between(dlv, n["d.s.a"], n["d.s.c"])
    assert found["paths"] == [
        [str(n["d.s.a"]), str(n["d.s.c"])],
        [str(n[k]) for k in ("d.s.a", "j1", "d.s.b", "j2", "d.s.c")],
    ]
    assert paths.between(dlv, n["d.s.c"], n["d.s.a"])["paths"] == []
    assert paths.between(dlv, n["d.s.a"], n["d.s.c"], limit=1)["cut"] is True


def test_search_ranks_names_before_the_rest_and_finds_by_owner_and_tag(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        e.node(conn, "d.s.orders")
        e.node(conn, "d.s.orders_daily", criticality=1)
        e.node(conn, "d.s.late_orders", criticality=1, tags=["pii"])
        e.node(conn, "orders", "job")
        e.node(conn, "d.s.x_1%", namespace="postgres://orders:5432")
        teams.create(conn, e.ADMIN, {"name": "Logistics", "patterns": ["*/d.s.late*"]})
    found = names(nodes.search(dlv, "orders"))
    assert set(found[:2]) == {"orders", "d.s.orders"}
    assert found[2] == "d.s.orders_daily"
    assert set(found[3:]) == {"d.s.late_orders", "d.s.x_1%"}
    assert set(names(nodes.search(dlv, "or"))) == {"orders", "d.s.orders", "d.s.orders_daily"}
    assert names(nodes.search(dlv, "logist")) == ["d.s.late_orders"]
    assert names(nodes.search(dlv, "PII")) == ["d.s.late_orders"]
    assert names(nodes.search(dlv, "late shop")) == ["d.s.late_orders"]
    assert names(nodes.search(dlv, "_1%")) == ["d.s.x_1%"]
    assert nodes.search(dlv, "%%%") == []
    assert nodes.search(dlv, "  ") == []


def test_pages_meet_without_gap_or_overlap_whatever_they_are_sorted_by(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        made = {str(e.node(conn, f"d.s.t{i}", criticality=1 + i % 3 if i % 4 else None)) for i in range(17)}
    for sort in SORTS:
        for descending in (False, True):
            seen: list[str] = []
            cursor = None
            while True:
                page = nodes.page(dlv, {}, 5, cursor, sort=sort, descending=descending, total=True)
                assert page["total"] == 17
                seen += [n["id"] for n in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
            assert len(seen) == 17 and set(seen) == made, (sort, descending)


def test_the_drawer_tells_of_edges_names_runs_and_annotations(dlv: Dlv) -> None:
    from store import annotations

    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.a", "j", "d.s.b")
        board = e.node(conn, "d.s.board")
        e.edge_store.create(conn, e.ADMIN, n["d.s.b"], board)
        annotations.write(conn, e.ADMIN, "node", n["d.s.b"], "reloaded by hand on Monday")
        conn.execute(
            """insert into run (day, key, job_alias, run_id, state, state_at, state_hash, started_at, ended_at, due_at,
                                first_event_at, last_event_at, producer_id, error, log_url)
               select current_date, gen_random_uuid(), %s, 'r' || i, 'FAIL', now(), 'x', now() - interval '90 s', now(),
                      now() - i * interval '1 h', now(), now(), 1, 'no space left', 'https://airflow/log'
                 from generate_series(1, 20) i""",
            (n["j"],),
        )
    said = nodes.drawer(dlv, n["d.s.b"])
    assert (said["upstream"], said["downstream"]) == (1, 1)
    assert {(x["source_name"], x["target_name"]) for x in said["edges"]} == {
        ("j", "d.s.b"),
        ("d.s.b", "d.s.board"),
    }
    assert [r["run_id"] for r in said["runs"]] == [f"r{i}" for i in range(1, 15)]
    assert said["runs"][0] | {} and said["runs"][0]["duration"] == 90.0
    assert said["runs"][0]["error"] == "no space left" and said["runs"][0]["log_url"] == "https://airflow/log"
    assert [a["text"] for a in said["annotations"]] == ["reloaded by hand on Monday"]
    assert said["names"][0]["sent"][0]["name"] == "d.s.b"
    more = nodes.runs(dlv, n["j"], limit=15)
    rest = nodes.runs(dlv, n["j"], limit=15, cursor=more["next"])
    assert [r["run_id"] for r in more["items"] + rest["items"]] == [f"r{i}" for i in range(1, 21)]
    assert rest["next"] is None


def test_the_exported_list_is_the_list_and_is_audited(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.a", "=cmd|calc", "d.s.b")
    e.project(dlv.record, dlv.graph)
    text, name = export.impact_file(dlv, e.ADMIN, "csv", n["d.s.a"])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {r["name"] for r in rows} == {"'=cmd|calc", "d.s.b"}
    assert name == "downstream-d.s.a.csv"
    row = dlv.record.one("select * from audit_log where action = 'impact.export'")
    assert row and row["object_id"] == str(n["d.s.a"]) and row["after"]["rows"] == 2


def test_options_count_what_is_there(dlv: Dlv) -> None:
    with dlv.record.tx() as conn:
        e.chain(conn, "d.s.a", "j", "d.s.b")
        e.node(conn, "d.s.c", kind="view", tags=["pii"])
        teams.create(conn, e.ADMIN, {"name": "Finance", "patterns": ["*/d.s.c"]})
    said = nodes.options(dlv)
    assert {(o["key"], o["n"]) for o in said["kind"]} == {("table", 2), ("view", 1), ("task", 1)}
    assert said["tag"] == [{"key": "pii", "n": 1}]
    assert [(o["name"], o["n"]) for o in said["team"]] == [("Finance", 1)]
    assert UUID(said["team"][0]["key"])


def test_a_process_that_starts_asks_of_what_fails_first(dlv: Dlv, monkeypatch: pytest.MonkeyPatch) -> None:
    with dlv.record.tx() as conn:
        n = e.chain(conn, "d.s.raw", "load", "d.s.stg", "build", "d.s.mart")
        e.sick(conn, n["build"])
        e.sick(conn, n["load"], "warn")
        gone = e.node(conn, "d.s.gone")
        conn.execute("update node set retired_at = now() where id = %s", (gone,))
    e.project(dlv.record, dlv.graph)
    asked: list[tuple[UUID, bool, str]] = []
    ask = reach.impact

    def noting(
        graph: Graph, generation: int, node: UUID, from_dataset: bool, direction: Any, *more: Any
    ) -> Any:
        asked.append((node, from_dataset, direction))
        return ask(graph, generation, node, from_dataset, direction, *more)

    monkeypatch.setattr(reach, "impact", noting)
    monkeypatch.setattr(warm, "WALKS", 20)
    assert warm.warm(dlv) == 20
    walks = asked[-20:]
    assert walks[:2] == [(n["build"], False, "downstream"), (n["build"], False, "upstream")]
    assert {node: from_dataset for node, from_dataset, _ in walks} == {
        id_: name not in ("load", "build") for name, id_ in n.items()
    }
    monkeypatch.setattr(warm, "SECONDS", -1.0)
    assert warm.warm(dlv) == 0
