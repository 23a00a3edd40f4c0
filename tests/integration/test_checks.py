"""The life of a check in the record: made, edited, paused, muted, retired; what a kind is handed; heartbeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from checks import edits, registry, schedule
from checks.result import Past
from errors import Changed, Conflict, Invalid, NotFound
from store import audit, checks, node_edits
from store.audit import Actor
from store.record import Record
from tests.web import Web

ADA = Actor("user", "1", "ada")


def node(record: Record, name: str = "shop.public.orders") -> UUID:
    with record.tx() as conn:
        return node_edits.create(
            conn,
            ADA,
            {
                "type": "dataset", "environment": "default", "namespace": "postgres://db:5432", "name": name,
                "kind": "table", "system": "postgres",
            },
            ("postgres://db:5432", name),
        )  # fmt: skip


def heartbeat(record: Record, on: UUID, **how: Any) -> dict[str, Any]:
    with record.tx() as conn:
        return edits.create(conn, ADA, {"kind": "heartbeat", "name": "nightly", "node_id": on} | how)


def audited(record: Record) -> list[str]:
    return [
        r["action"]
        for r in record.all("select action from audit_log where object_type = 'check' order by seq")
    ]


def test_a_check_is_made_whole_and_its_first_slot_lies_in_its_rhythm(record: Record) -> None:
    made = heartbeat(record, node(record), every_seconds=300)
    assert made["config"] == {"expect": 86400, "grace": 900}
    assert (made["state"], made["status"], made["version"]) == ("unknown", "not_checked", 1)
    offset = schedule.offset_of(made["id"], 300)
    now = datetime.now(UTC)
    assert now < made["next_slot_at"] <= now + timedelta(seconds=301)
    assert (made["next_slot_at"].timestamp() - offset) % 300 == 0
    assert audited(record) == ["check.create"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"kind": "no"}, "kind"),
        ({"name": " "}, "name"),
        ({"node_id": uuid4()}, "node_id"),
        ({"every_seconds": 1}, "every_seconds"),
        ({"severity": "loud"}, "severity"),
        ({"config": {"expect": "never"}}, "config.expect"),
        ({"config": {"x": 1}}, "config.x"),
        ({"connection_id": uuid4()}, "connection_id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_names_its_field_and_nothing_is_made(
    record: Record, said: dict[str, Any], field: str
) -> None:
    on = node(record)
    with pytest.raises(Invalid) as e:
        heartbeat(record, on, **said)
    assert e.value.field == field
    assert record.all("select 1 from health_check") == []


def test_editing_keeps_what_is_not_said_and_tells_who_saved_first(record: Record) -> None:
    made = heartbeat(record, node(record))
    with record.tx() as conn:
        edited = edits.edit(conn, ADA, made["id"], {"config": {"grace": "1 h"}}, 1)
    assert (edited["config"], edited["version"]) == ({"expect": 86400, "grace": 3600}, 2)
    with pytest.raises(Changed) as e, record.tx() as conn:
        edits.edit(conn, ADA, made["id"], {"name": "other", "config": {"grace": 60}}, 1)
    assert e.value.changes == {
        "name": {"yours": "other", "theirs": "nightly"},
        "config": {"yours": {"expect": 86400, "grace": 60}, "theirs": {"expect": 86400, "grace": 3600}},
    }
    with record.tx() as conn:
        back = edits.edit(conn, ADA, made["id"], {"config": {"grace": None}}, 2)
        same = edits.edit(conn, ADA, made["id"], {"config": {"grace": 900}}, 3)
    assert back["config"] == {"expect": 86400, "grace": 900}
    assert same["version"] == 3
    assert audited(record) == ["check.create", "check.edit", "check.edit"]


def test_pausing_retiring_and_back(record: Record) -> None:
    made = heartbeat(record, node(record))
    id_ = made["id"]
    with record.tx() as conn:
        paused = checks.pause(conn, ADA, id_)
        assert (paused["state"], paused["next_slot_at"]) == ("paused", None)
        assert edits.edit(conn, ADA, id_, {"every_seconds": 120}, None)["next_slot_at"] is None
        resumed = checks.resume(conn, ADA, id_)
        assert (resumed["state"], resumed["status"]) == ("unknown", "not_checked")
        assert resumed["next_slot_at"] > datetime.now(UTC)
        gone = checks.retire(conn, ADA, id_)
        assert (gone["state"], gone["next_slot_at"]) == ("retired", None)
        assert checks.spec(conn, id_) is None
        assert checks.page(conn, {}) == []
        assert [c["id"] for c in checks.page(conn, {"retired": True})] == [id_]
        with pytest.raises(Changed):
            checks.retire(conn, ADA, id_, 1)
        assert checks.unretire(conn, ADA, id_)["next_slot_at"] is not None
    assert audited(record) == [
        "check.create", "check.pause", "check.edit", "check.resume", "check.retire", "check.unretire",
    ]  # fmt: skip
    assert audit.verify(record) == (True, None)


def test_muting_is_for_a_time_and_no_edit(record: Record) -> None:
    made = heartbeat(record, node(record))
    until = datetime.now(UTC) + timedelta(hours=2)
    with record.tx() as conn:
        muted = checks.mute(conn, ADA, made["id"], until)
        assert (muted["state"], muted["muted_until"], muted["version"]) == ("muted", until, 1)
        assert checks.mute(conn, ADA, made["id"], None)["state"] == "unknown"
        for wrong in (datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(days=91)):
            with pytest.raises(Invalid):
                checks.mute(conn, ADA, made["id"], wrong)
        with pytest.raises(NotFound):
            checks.mute(conn, ADA, uuid4(), until)
    assert audited(record) == ["check.create", "check.mute", "check.unmute"]


def test_a_kind_is_handed_what_the_record_knows_of_the_node(record: Record) -> None:
    made = heartbeat(record, node(record))
    with record.tx() as conn:
        checks.set_token(conn, ADA, made["id"], b"x" * 32)
        checks.beat(conn, made, "start")
        checks.beat(conn, made, "success", "exit 0")
        spec = checks.spec(conn, made["id"])
    assert spec is not None
    assert (spec.about.type, spec.about.kind, spec.about.system) == ("dataset", "table", "postgres")
    assert spec.about.names == (("postgres://db:5432", "shop.public.orders"),)
    assert [(b.kind, b.note) for b in spec.beats] == [("success", "exit 0"), ("start", "")]
    assert registry.look(spec, None, Past(), datetime.now(UTC)).status == "ok"


def results(record: Record, id_: UUID, *said: tuple[datetime, str, float | None]) -> None:
    from store import partitions

    for at, status, value in said:
        with record.tx() as conn:
            partitions.ensure(conn, at.date())
            conn.execute(
                """insert into check_result (check_id, slot_at, status, value) values (%s, %s, %s, %s)""",
                (id_, at, status, value),
            )


def test_the_past_is_of_what_said_something_and_of_the_same_hours(record: Record) -> None:
    id_ = heartbeat(record, node(record))["id"]
    with record.tx() as conn:
        conn.execute("update health_check set learnt_from = '2026-10-01' where id = %s", (id_,))
    now = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
    # summer time ended on 25 Oct: the clock of Berlin said 10 h at 8 h UTC before, at 9 h UTC after
    weeks = [now - timedelta(weeks=k) for k in range(1, 9)]
    summer = [w - timedelta(hours=1) if w < datetime(2026, 10, 25, tzinfo=UTC) else w for w in weeks]
    results(
        record, id_, *[(w, "ok", float(k)) for k, w in enumerate(summer, 1)],
        (now - timedelta(minutes=3), "fail", 50.0), (now - timedelta(minutes=2), "error", None),
        (now - timedelta(minutes=1), "muted", 60.0),
    )  # fmt: skip
    with record.tx() as conn:
        utc = checks.past(conn, id_, 3, now)
        conn.execute('update health_check set config = config || \'{"zone": "Europe/Berlin"}\'')
        past = checks.past(conn, id_, 3, now)
        assert checks.past(conn, id_, 0, now).values == ()
        conn.execute(
            "update health_check set learnt_from = %s where id = %s", (now - timedelta(minutes=5), id_)
        )
        anew = checks.past(conn, id_, 3, now)
    assert [v for _, v in past.values] == [2.0, 1.0, 50.0]
    assert [v for _, v in past.weekly] == [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert [v for _, v in utc.weekly] == [4.0, 3.0, 2.0, 1.0]
    assert ([v for _, v in anew.values], anew.weekly) == ([50.0], ())


def test_what_was_seen_is_accepted_only_once_something_was_seen(record: Record) -> None:
    id_ = heartbeat(record, node(record))["id"]
    with record.tx() as conn:
        with pytest.raises(Conflict):
            checks.accept(conn, ADA, id_)
        conn.execute(
            "update check_state set memory = '{\"a\": 1}', slot_at = now() where check_id = %s", (id_,)
        )
        checks.accept(conn, ADA, id_)
        spec = checks.spec(conn, id_)
    assert spec is not None and spec.accepted is not None
    assert spec.accepted["memory"] == {"a": 1}


# ---------------------------------------------------------------- the heartbeat's URL


def test_a_job_calls_its_url_without_signing_in(web: Web) -> None:
    check = heartbeat(web.record, node(web.record))
    got = web.client().post(f"/api/v1/checks/{check['id']}/url", headers=web.bearer("admin"))
    assert got.status_code == 200, got.text
    urls = {k: v[v.index("/api") :] for k, v in got.json.items()}
    assert set(urls) == {"success", "start", "fail"}
    client = web.client()
    for method, kind in (("get", "start"), ("head", "success"), ("post", "fail"), ("post", "success")):
        answer = getattr(client, method)(urls[kind], query_string={"note": "exit 3, password=geheim"})
        assert (answer.status_code, len(answer.data) < 10) == (200, True)
    with web.record.tx() as conn:
        seen = checks.beats(conn, check["id"])
    assert [b.kind for b in seen] == ["success", "fail", "success", "start"]
    assert "exit 3" in seen[0].note
    assert "geheim" not in seen[0].note
    # the token is nowhere in the record: neither in the check nor in the audit
    token = urls["success"].rsplit("/", 1)[1]
    kept = web.record.all("select t::text as t from health_check t union all select a::text from audit_log a")
    assert kept and not any(token in r["t"] for r in kept)


def test_a_replaced_url_ends_and_a_retired_check_has_none(web: Web) -> None:
    check = heartbeat(web.record, node(web.record))
    head = web.bearer("admin")

    def url() -> str:
        said: str = web.client().post(f"/api/v1/checks/{check['id']}/url", headers=head).json["success"]
        return said[said.index("/api") :]

    first, second = url(), url()
    assert web.client().get(first).status_code == 404
    assert web.client().get(second).status_code == 200
    with web.record.tx() as conn:
        checks.retire(conn, ADA, check["id"])
    assert web.client().get(second).status_code == 404


def test_calls_that_nobody_looks_at_any_more_go(record: Record) -> None:
    id_ = heartbeat(record, node(record))["id"]
    with record.tx() as conn:
        for _ in range(7):
            checks.beat(conn, {"id": id_, "status": "ok"}, "start")
        checks.beat(conn, {"id": id_, "status": "ok"}, "success")
        assert checks.expire_beats(conn, keep=3) == 5
        assert [b.kind for b in checks.beats(conn, id_)] == ["success", "start", "start"]


# ---------------------------------------------------------------- at once


def slots_of(record: Record, id_: UUID) -> list[datetime]:
    return [
        r["slot_at"]
        for r in record.all("select slot_at from check_slot where check_id = %s order by 1", (id_,))
    ]


def look(record: Record, settings: Any) -> None:
    from workers.checking import run_due

    run_due(record, settings)


def test_a_failing_job_is_failed_at_once_and_good_again_at_once(record: Record, settled: Any) -> None:
    on = node(record)
    made = heartbeat(record, on, every_seconds=3600)
    look(record, settled)  # the first look, at once
    with record.tx() as conn:
        assert checks.get(conn, made["id"])["status"] == "ok"
        checks.beat(conn, {"id": made["id"], "status": "ok"}, "success")
    assert slots_of(record, made["id"]) == [], "good news of a good check wait for its rhythm"
    with record.tx() as conn:
        checks.beat(conn, {"id": made["id"], "status": "ok"}, "fail", "exit 3")
        checks.beat(conn, {"id": made["id"], "status": "ok"}, "fail", "exit 4")
    assert len(slots_of(record, made["id"])) == 1
    look(record, settled)
    with record.tx() as conn:
        got = checks.get(conn, made["id"])
    assert (got["status"], got["health"], "exit 4" in got["reason"]) == ("fail", "failed", True)
    row = record.one("select health, health_reason from node where id = %s", (on,))
    assert row is not None
    assert (row["health"], "exit 4" in row["health_reason"]) == ("failed", True)
    with record.tx() as conn:
        checks.beat(conn, got, "success")
    look(record, settled)
    with record.tx() as conn:
        assert checks.get(conn, made["id"])["health"] == "ok"
    assert record.one("select health from node where id = %s", (on,)) == {"health": "ok"}


def test_looking_at_once_and_when_it_does_not_look(record: Record, settled: Any) -> None:
    id_ = heartbeat(record, node(record))["id"]
    look(record, settled)
    with record.tx() as conn:
        checks.run(conn, ADA, id_)
        checks.run(conn, ADA, id_)
    assert len(slots_of(record, id_)) == 1
    look(record, settled)
    assert len(record.all("select 1 from check_result where check_id = %s", (id_,))) == 2
    with record.tx() as conn:
        checks.pause(conn, ADA, id_)
        with pytest.raises(Conflict, match="paused"):
            checks.run(conn, ADA, id_)
        checks.resume(conn, ADA, id_)
        checks.mute(conn, ADA, id_, datetime.now(UTC) + timedelta(hours=1))
        conn.execute("delete from check_slot")
        with pytest.raises(Conflict, match="muted"):
            checks.run(conn, ADA, id_)
        checks.mute(conn, ADA, id_, None)
    assert len(slots_of(record, id_)) == 1, "it looks as soon as it is no longer muted"


# ---------------------------------------------------------------- age by what events said


def test_age_by_events_is_unknown_while_who_sends_them_is_quiet(record: Record) -> None:
    on = node(record)
    now = datetime.now(UTC)
    with record.tx() as conn:
        said = {
            "kind": "freshness", "name": "fresh", "node_id": on, "config": {"by": "run", "error_after": 3600},
        }  # fmt: skip
        made = edits.create(conn, ADA, said)

    def look_at() -> Any:
        with record.tx() as conn:
            spec = checks.spec(conn, made["id"])
        assert spec is not None
        return registry.look(spec, None, Past(), now)

    assert look_at().status == "not_checked", "no run of it is known"
    with record.tx() as conn:
        conn.execute("update node set made_at = %s where id = %s", (now - timedelta(minutes=59), on))
    assert look_at().status == "ok"
    with record.tx() as conn:
        conn.execute("update node set made_at = %s where id = %s", (now - timedelta(minutes=61), on))
    assert (look_at().status, look_at().health) == ("fail", "late")
    with record.tx() as conn:
        for name in ("one", "two"):
            row = conn.execute("insert into producer (name) values (%s) returning id", (name,)).fetchone()
            assert row is not None
            conn.execute(
                """insert into alias_sent (namespace, name, type, producer_id, alias_id)
                   values ('n', 't', 'dataset', %s, %s)""",
                (row["id"], on),
            )
        conn.execute("update producer set quiet_since = now() - interval '2 hours' where name = 'one'")
    assert look_at().status == "fail", "the other one sends"
    with record.tx() as conn:
        conn.execute("update producer set quiet_since = now() - interval '1 hour' where name = 'two'")
    assert (look_at().status, "quiet" in look_at().reason) == ("not_checked", True)
