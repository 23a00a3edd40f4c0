"""What people change by hand: fields, merges, splits, edges, teams, files. Audited, and with nothing lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import by_hand as e
import pytest

from errors import Changed, Conflict, Forbidden, Invalid, NotFound
from ingest import ids
from store import annotations, assign, audit, evidence, materialise, node_edits, nodes, rules, teams
from store import edges as edges_store
from store.audit import Actor
from store.record import Record

pytestmark = pytest.mark.usefixtures("nodes_tell_what_their_aliases_say")

BOB = Actor("user", "1", "bob", "127.0.0.2")


def row(record: Record, id_: UUID) -> dict[str, Any]:
    with record.tx() as conn:
        found = nodes.get(conn, id_)
    assert found
    return found


def actions(record: Record) -> list[str]:
    ok, broken = audit.verify(record)
    assert ok, broken
    return [r["action"] for r in record.all("select action from audit_log order by seq")]


def test_an_edit_outranks_events_is_audited_and_the_second_editor_is_told(record: Record) -> None:
    with record.tx() as conn:
        a = e.node(conn, "d.s.a")
        team = teams.create(conn, e.ADMIN, {"name": "Finance"})
        for field, value in (
            ("owner", '"somebody"'),
            ("tags", '["old"]'),
            ("description", '"as events say"'),
        ):
            conn.execute(
                "insert into alias_field values (%s, %s, 'event', %s, 'airflow', now())", (a, field, value)
            )
        materialise.refresh(conn, [a])
    assert row(record, a)["owner_name"] == "somebody"
    with record.tx() as conn:
        said = {
            "owner": "finance",
            "tags": ["PII", "pii "],
            "sla": {"kind": "freshness", "minutes": 60},
            "criticality": 1,
        }
        node_edits.edit(conn, e.ADMIN, a, said, 1)
    now = row(record, a)
    assert (now["owner_id"], now["tags"], now["sla_minutes"], now["criticality"], now["version"]) == (
        team["id"], ["pii"], 60, 1, 2,
    )  # fmt: skip
    assert now["sources"] == {
        "owner": "manual", "tags": "manual", "sla": "manual", "criticality": "manual", "description": "event",
    }  # fmt: skip
    with pytest.raises(Changed) as told, record.tx() as conn:
        node_edits.edit(conn, BOB, a, {"tags": ["mine"], "description": "mine"}, 1)
    assert told.value.version == 2
    assert told.value.changes["tags"] | {"at": ""} == {
        "yours": ["mine"],
        "theirs": ["pii"],
        "by": "ada",
        "at": "",
    }
    assert (
        told.value.changes["criticality"]["theirs"] == 1 and "yours" not in told.value.changes["criticality"]
    )
    with record.tx() as conn:
        node_edits.edit(conn, BOB, a, {}, 2, unset=["owner", "tags"])
    now = row(record, a)
    assert (now["owner_name"], now["tags"], now["criticality"]) == ("somebody", ["old"], 1)
    last = record.one("select * from audit_log order by seq desc limit 1")
    assert last and last["actor_name"] == "bob" and last["remote_addr"] == "127.0.0.2"
    assert last["before"]["tags"] == ["pii"] and last["after"]["tags"] == ["old"]
    assert actions(record) == ["node.create", "team.create", "node.edit", "node.edit"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"owner": "nobody knows"}, "owner"),
        ({"sla": {"kind": "sometimes", "minutes": 5}}, "sla.kind"),
        ({"sla": {"kind": "freshness", "minutes": 0}}, "sla.minutes"),
        ({"sla": "60"}, "sla"),
        ({"tags": "pii"}, "tags"),
        ({"tags": ["two words"]}, "tags"),
        ({"criticality": 5}, "criticality"),
        ({"criticality": True}, "criticality"),
        ({"description": 7}, "description"),
        ({"version": 7}, "version"),
    ],
)
def test_a_wrong_field_is_named(record: Record, change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as wrong, record.tx() as conn:
        node_edits.checked(conn, change)
    assert wrong.value.field == field


def test_a_bulk_edit_is_all_or_nothing(record: Record) -> None:
    with record.tx() as conn:
        made = [e.node(conn, f"d.s.t{i}") for i in range(5)]
        node_edits.edit(conn, BOB, made[3], {"criticality": 4}, 1)
    with pytest.raises(Changed), record.tx() as conn:
        node_edits.edit_many(conn, e.ADMIN, made, {"tags": ["x"]}, dict.fromkeys(made, 1))
    assert not any(row(record, m)["tags"] for m in made)
    with record.tx() as conn:
        assert node_edits.edit_many(conn, e.ADMIN, made, {"tags": ["x"]}) == 5
    assert all(row(record, m)["tags"] == ["x"] for m in made)
    assert actions(record).count("node.edit") == 6


def test_a_merge_keeps_both_histories_and_a_split_gives_them_back_after_later_events(record: Record) -> None:
    with record.tx() as conn:
        a, b = sorted((e.node(conn, "d.s.a"), e.node(conn, "d.s.b")))
        job = e.node(conn, "job", "job")
        e.seen(conn, job, b)
        node_edits.edit(conn, e.ADMIN, a, {"tags": ["of-a"], "description": "about a"}, 1)
        node_edits.edit(conn, e.ADMIN, b, {"criticality": 2}, 1)
        annotations.write(conn, e.ADMIN, "node", b, "on b")
    with record.tx() as conn:
        assert node_edits.merge(conn, e.ADMIN, b, a) == a
    one = row(record, b)
    assert one["id"] == a and len(one["aliases"]) == 2
    assert (one["tags"], one["criticality"], one["description"]) == (["of-a"], 2, "about a")
    assert one["version"] == 3
    with record.tx() as conn:
        assert [t["text"] for t in annotations.of_node(conn, a)] == ["on b"]
        assert {x["target"] for x in edges_store.of_node(conn, a)} == {a}
        # a later event says once more that both are one, by a symlink
        x, y = sorted((a, b))
        conn.execute("insert into evidence values (%s, %s, 'symlink', 'spark', now())", (x, y))
        assert node_edits.split(conn, e.ADMIN, a, b) == (a, b)
    assert (row(record, a)["tags"], row(record, a)["criticality"]) == (["of-a"], None)
    assert (row(record, b)["tags"], row(record, b)["criticality"]) == ([], 2)
    with record.tx() as conn:
        assert annotations.of_node(conn, a) == [] and len(annotations.of_node(conn, b)) == 1
        conn.execute("insert into evidence values (%s, %s, 'naming', 'rule', now())", (x, y))
        materialise.refresh(conn, evidence.components(conn, [a, b]))
    assert row(record, b)["id"] == b, "a split wins over later evidence"
    with record.tx() as conn:
        assert node_edits.merge(conn, e.ADMIN, a, b) == a, "an admin takes the split back"
    assert actions(record)[-3:] == ["node.merge", "node.split", "node.merge"]
    dirty = {r["key"] for r in record.all("select key from graph_dirty where kind = 'edge'")}
    assert ids.edge_id(job, b) in dirty, "the graph must learn that the edge moved"


def test_merge_and_split_refuse_what_makes_no_sense(record: Record) -> None:
    with record.tx() as conn:
        a, job = e.node(conn, "d.s.a"), e.node(conn, "job", "job")
        for wrong in (a, job):
            with pytest.raises(Invalid):
                node_edits.merge(conn, e.ADMIN, a, wrong)
        with pytest.raises(NotFound):
            node_edits.merge(conn, e.ADMIN, a, UUID(int=1))
        for wrong in (a, job):
            with pytest.raises(Invalid):
                node_edits.split(conn, e.ADMIN, a, wrong)


def test_a_retired_node_leaves_lists_and_comes_back(record: Record) -> None:
    with record.tx() as conn:
        a = e.node(conn, "d.s.a")
        node_edits.retire(conn, e.ADMIN, a, 1)
        assert nodes.search(conn, "d.s.a", 5) == [] and nodes.count(conn, {}) == 0
        assert nodes.count(conn, {"retired": "only"}) == 1
        with pytest.raises(Changed):
            node_edits.retire(conn, BOB, a, 1, back=True)
        with pytest.raises(Conflict, match="on record already"):
            e.node(conn, "d.s.a")
        node_edits.retire(conn, e.ADMIN, a, 2, back=True)
        assert nodes.count(conn, {}) == 1
    assert actions(record) == ["node.create", "node.retire", "node.unretire"]


def test_an_edge_between_datasets_is_one_object_over_a_stand_in(record: Record) -> None:
    with record.tx() as conn:
        a, b, job, job2 = (
            e.node(conn, "d.s.a"), e.node(conn, "d.s.b"), e.node(conn, "job", "job"), e.node(conn, "job2", "job"),
        )  # fmt: skip
        edge = edges_store.create(conn, e.ADMIN, a, b)
        assert (edge["source"], edge["target"], len(edge["ids"])) == (a, b, 2)
        for id_ in (*edge["ids"], edge["standin"]):
            assert (edges_store.get(conn, id_) or {})["id"] == edge["id"]
        for source, target, kind in (
            (a, b, Conflict),
            (a, a, Invalid),
            (job, job2, Invalid),
            (a, UUID(int=1), Invalid),
        ):
            with pytest.raises(kind):
                edges_store.create(conn, e.ADMIN, source, target)
    with record.tx() as conn:
        gone = edges_store.retire(conn, e.ADMIN, edge["id"], 1)
        assert not gone["holds"] and gone["version"] == 2
        assert edges_store.degrees(conn, [a], None) == {}
        with pytest.raises(Changed):
            edges_store.unretire(conn, BOB, edge["id"], 1)
    with record.tx() as conn:
        assert edges_store.unretire(conn, e.ADMIN, edge["id"], 2)["holds"]
    with record.tx() as conn:
        edges_store.retire(conn, e.ADMIN, edge["id"])
    with record.tx() as conn:
        again = edges_store.create(conn, e.ADMIN, a, b)
        assert again["id"] == edge["id"] and again["holds"]
        lives = edges_store.intervals_of(conn, again["ids"])
    assert len(lives) == 2 and lives[0]["valid_to"] is None and lives[1]["valid_to"] is not None
    assert nodes_on_map(record) == {"d.s.a", "d.s.b", "job", "job2"}
    assert actions(record)[4:] == [
        "edge.create",
        "edge.retire",
        "edge.unretire",
        "edge.retire",
        "edge.create",
    ]


def nodes_on_map(record: Record) -> set[str]:
    with record.tx() as conn:
        found = nodes.page(conn, {}, 100)
        return {r["name"] for r in nodes.many(conn, [r["id"] for r in found])}


def test_a_team_owns_what_its_patterns_match_and_gives_it_back(record: Record) -> None:
    with record.tx() as conn:
        a, b = e.node(conn, "d.s.orders"), e.node(conn, "d.s.other")
        team = teams.create(conn, e.ADMIN, {"name": "Sales", "patterns": ["postgres://shop*/d.S.ord*"]})
        assert team["owned"] == 1
    assert (row(record, a)["owner_name"], row(record, b)["owner_name"]) == ("Sales", "")
    with record.tx() as conn:
        with pytest.raises(Conflict):
            teams.create(conn, e.ADMIN, {"name": "SALES"})
        teams.edit(conn, e.ADMIN, team["id"], {"name": "Trade", "patterns": ["*/d.s.oth[e]r"]}, 1)
    assert (row(record, a)["owner_name"], row(record, b)["owner_name"]) == ("", "Trade")
    with record.tx() as conn:
        node_edits.edit(conn, e.ADMIN, b, {"owner": None}, 1)
    assert row(record, b)["owner_id"] is None, "nobody, by hand, outranks the pattern"
    with record.tx() as conn:
        node_edits.edit(conn, e.ADMIN, b, {}, 2, unset=["owner"])
        with pytest.raises(Changed):
            teams.retire(conn, BOB, team["id"], 1)
        teams.retire(conn, e.ADMIN, team["id"], 2)
    assert row(record, b)["owner_name"] == ""


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x", "people": [{"email": "no address"}]}, "people.0.email"),
        ({"name": "x", "channels": [{"kind": "pigeon", "target": "a"}]}, "channels.0.kind"),
        ({"name": "x", "channels": [{"kind": "slack", "target": ""}]}, "channels.0.target"),
        ({"name": "x", "patterns": ["*"]}, "patterns"),
        ({"name": "x", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_team_field_is_named(record: Record, said: dict[str, Any], field: str) -> None:
    with record.tx() as conn, pytest.raises(Invalid) as wrong:
        teams.create(conn, e.ADMIN, said)
    assert wrong.value.field == field


YAML = """
- select: {system: postgres, name: "d.s.*"}
  set: {tags: [raw], criticality: 3}
- select: {name: "D.S.Orders"}
  set:
    owner: Sales
    sla: {kind: freshness, minutes: 90}
    criticality: 1
"""
CSV = "system,name,owner,sla,tags,criticality\r\npostgres,d.s.*,,,raw,3\r\n,D.S.Orders,Sales,freshness 90,,1\r\n"


@pytest.mark.parametrize(("text", "format_"), [(YAML, "yaml"), (CSV, "csv")])
def test_a_file_sets_what_it_previews_and_leaves_what_was_set_by_hand(
    record: Record, text: str, format_: str
) -> None:
    with record.tx() as conn:
        orders, other, job = e.node(conn, "d.s.orders"), e.node(conn, "d.s.other"), e.node(conn, "job", "job")
        teams.create(conn, e.ADMIN, {"name": "Sales"})
        node_edits.edit(conn, e.ADMIN, other, {"criticality": 2}, 1)
    with record.tx() as conn:
        seen = assign.preview(conn, text, format_)
    assert [(c["name"], c["field"], c["before"], c["after"], c["manual"]) for c in seen["changes"]] == [
        ("d.s.orders", "criticality", None, 1, False),
        ("d.s.orders", "owner", None, "Sales", False),
        ("d.s.orders", "sla", None, {"kind": "freshness", "minutes": 90}, False),
        ("d.s.orders", "tags", [], ["raw"], False),
        ("d.s.other", "criticality", 2, 3, True),
        ("d.s.other", "tags", [], ["raw"], False),
    ]
    assert [x["matched"] for x in seen["entries"]] == [2, 1]
    assert row(record, orders)["tags"] == [], "a preview writes nothing"
    with record.tx() as conn:
        assert assign.apply(conn, e.ADMIN, text, format_, "owners." + format_) == seen
    done = row(record, orders)
    assert (done["owner_name"], done["sla_minutes"], done["tags"], done["criticality"]) == (
        "Sales",
        90,
        ["raw"],
        1,
    )
    assert done["sources"]["owner"] == "file"
    assert (row(record, other)["criticality"], row(record, job)["tags"]) == (2, [])
    with record.tx() as conn:
        again = assign.preview(conn, text, format_)
    assert [(c["name"], c["manual"]) for c in again["changes"]] == [("d.s.other", True)]
    assert actions(record)[-3:] == ["node.assign", "node.assign", "assign.apply"]


@pytest.mark.parametrize(
    ("text", "format_", "line", "field"),
    [
        ("- select: {name: a}\n  set: {criticality: 9}\n", "yaml", 1, "criticality"),
        (
            "- select: {name: a}\n  set: {tags: [x]}\n- select: {nam: a}\n  set: {tags: [x]}\n",
            "yaml",
            3,
            "nam",
        ),
        ("- select: {name: a}\n  set:\n    owner: Nobody\n", "yaml", 1, "owner"),
        ("- select: {name: a}\n", "yaml", 1, "set"),
        ("- select: {}\n  set: {tags: [x]}\n", "yaml", 1, "select"),
        ("- select: {name: [a, b]}\n  set: {tags: [x]}\n", "yaml", 1, "name"),
        ("a: b\n", "yaml", 1, "text"),
        ("- select: {name: 'a\n", "yaml", 2, "text"),
        ("name,colour\na,red\n", "csv", 1, "colour"),
        ("name,criticality\na,1\nb,high\n", "csv", 3, "criticality"),
        ("name,sla\na,60\n", "csv", 2, "sla"),
        ("name,tags\na,x,y\n", "csv", 2, "text"),
    ],
)
def test_a_wrong_file_is_told_by_line_and_field(
    record: Record, text: str, format_: str, line: int, field: str
) -> None:
    with pytest.raises(Invalid) as wrong, record.tx() as conn:
        assign.preview(conn, text, format_)
    assert wrong.value.field == field
    assert f"line {line}" in wrong.value.message


def test_yaml_cannot_build_objects_and_anchors_do_not_explode() -> None:
    laughs = "\n".join(
        ["a: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
    )
    for value in (
        "!!python/object/apply:os.system [id]", "!!python/name:os.system", "!own x", "9" * 9000, "!!int x",
    ):  # fmt: skip
        with pytest.raises(Invalid):
            assign.parse(f"- select: {{name: a}}\n  set: {{criticality: {value}}}\n", "yaml")
    for text in (laughs, "- &a [*a]\n", "[" * 5000):
        with pytest.raises(Invalid):
            assign.parse(text, "yaml")


def test_naming_rules_are_checked_before_they_bite(record: Record) -> None:
    with record.tx() as conn:
        rule = rules.create(conn, e.ADMIN, {"kind": "ignore", "pattern": r"/pr_\d+"})
        with pytest.raises(Conflict):
            rules.create(conn, e.ADMIN, {"kind": "ignore", "pattern": r"/pr_\d+"})
        for wrong, field in (
            ({"kind": "ignore", "pattern": "("}, "pattern"),
            ({"kind": "ignore", "pattern": ".*"}, "pattern"),
            ({"kind": "ignore", "pattern": "(a+)+$"}, "pattern"),
            ({"kind": "environment", "pattern": "prod"}, "value"),
            ({"kind": "partition", "pattern": "dt=(.)", "value": r"\2"}, "value"),
            ({"kind": "host_alias", "pattern": "a", "value": "b", "producer_id": 99}, "producer_id"),
            ({"kind": "sorcery", "pattern": "a"}, "kind"),
        ):
            with pytest.raises(Invalid) as told:
                rules.create(conn, e.ADMIN, wrong)
            assert told.value.field == field, wrong
        assert rules.edit(conn, e.ADMIN, rule["id"], {"pattern": r"/mr_\d+"})["pattern"] == r"/mr_\d+"
        rules.delete(conn, e.ADMIN, rule["id"])
        assert rules.page(conn) == []
    assert actions(record) == ["rule.create", "rule.edit", "rule.delete"]


def test_only_its_author_or_an_admin_changes_an_annotation(record: Record) -> None:
    with record.tx() as conn:
        a = e.node(conn, "d.s.a")
        note = annotations.write(conn, BOB, "node", a, "  seen  ")
        assert note["text"] == "seen"
        other = Actor("user", "2", "eve")
        with pytest.raises(Forbidden):
            annotations.edit(conn, other, note["id"], "x", any_author=False)
        annotations.edit(conn, other, note["id"], "corrected", any_author=True)
        annotations.delete(conn, BOB, note["id"], any_author=False)
        assert annotations.of_node(conn, a) == []
        with pytest.raises(NotFound):
            annotations.delete(conn, BOB, note["id"], any_author=True)
        with pytest.raises(Invalid):
            annotations.write(conn, BOB, "node", a, " \n ")
