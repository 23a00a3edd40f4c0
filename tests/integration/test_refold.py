"""After a rule changed, what is known moves to the names that the rule now reads."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from said import T0, dataset, edges, event, node, nodes, say

from ingest.refold import refold
from store.record import Record

pytestmark = pytest.mark.usefixtures("nodes_tell_what_their_aliases_say")

PG = "postgres://db.example:5432"


def rule(record: Record, kind: str, pattern: str, value: str = "") -> None:
    with record.tx() as conn:
        conn.execute(
            "insert into naming_rule (kind, pattern, value) values (%s, %s, %s)", (kind, pattern, value)
        )


def test_a_host_alias_brings_two_nodes_together_with_all_that_hangs_on_them(record: Record) -> None:
    schema = {"fields": [{"name": "id", "type": "int"}]}
    say(record, event("load", [], [dataset("postgres://10.0.0.7:5432", "d.s.t", schema=schema)], minute=0))
    say(record, event("read", [dataset(PG, "d.s.t")], minute=5))
    assert len(record.all("select id from node where type = 'dataset'")) == 2
    old = record.one("select id from alias where namespace like '%%10.0.0.7%%'")
    assert old
    with record.tx() as conn:
        conn.execute(
            "insert into alias_field (alias_id, field, source, value, set_by, set_at) "
            "values (%s, 'criticality', 'manual', '1', 'ann', now())",
            (old["id"],),
        )
        check = uuid4()
        conn.execute(
            "insert into health_check (id, name, kind, node_id, every_seconds) values (%s, 'c', 'volume', %s, 60)",
            (check, old["id"]),
        )
        conn.execute(
            "insert into silence (id, reason, nodes, starts_at, ends_at, created_by) "
            "values (%s, 'moving', array[%s::uuid], now(), now() + interval '1 hour', 'ann')",
            (uuid4(), old["id"]),
        )
        incident = uuid4()
        conn.execute(
            "insert into incident (id, key, title, root_node, opened_at) values (%s, 'k', 't', %s, now())",
            (incident, old["id"]),
        )
        conn.execute(
            "insert into incident_member (incident_id, node_id, role, health, joined_at) "
            "values (%s, %s, 'root', 'failed', now())",
            (incident, old["id"]),
        )
    rule(record, "host_alias", "10.0.0.7:5432", "db.example:5432")
    done = refold(record)
    assert (done.moved, done.removed) == (1, 0)
    table = node(record, "d.s.t")
    assert (table["namespace"], table["criticality"]) == (PG, 1)
    assert edges(record) == {("load", "d.s.t"), ("d.s.t", "read")}
    assert record.one("select 1 from schema_version where alias_id = %s", (table["id"],))
    for query in (
        "select node_id as n from health_check",
        "select unnest(nodes) as n from silence",
        "select root_node as n from incident",
        "select node_id as n from incident_member",
    ):
        named = record.one(query)
        assert named and record.one("select node_id from alias where id = %s", (named["n"],)) == {
            "node_id": table["id"]
        }, query
    assert refold(record).moved == 0, "a second time there is nothing to move"


def test_an_ignore_rule_takes_its_names_off_the_map(record: Record) -> None:
    say(record, event("a", [dataset(PG, "d.scratch.x"), dataset(PG, "d.s.t")], [dataset(PG, "d.s.u")]))
    rule(record, "ignore", r"/d\.scratch\.")
    assert refold(record).removed == 1
    assert nodes(record, "dataset") == {"d.s.t", "d.s.u"}
    assert edges(record) == {("d.s.t", "a"), ("a", "d.s.u")}


def test_an_environment_rule_moves_jobs_with_their_runs(record: Record) -> None:
    say(record, event("a", [], [dataset(PG, "d.s.t")], state="FAIL", namespace="airflow-staging", run="r1"))
    rule(record, "environment", "staging", "staging")
    refold(record, now=T0 + timedelta(hours=1))
    job = node(record, "a")
    assert (job["environment"], job["health"]) == ("staging", "failed")
    assert record.all("select job_alias from run") == [{"job_alias": job["id"]}]
    assert edges(record) == {("a", "d.s.t")}
