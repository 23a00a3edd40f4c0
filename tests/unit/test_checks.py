"""Kinds of check: fields, the registry that never raises, and story tests of judging."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from checks import edits, moments, registry
from checks.fields import FIELD_KINDS, Field, checked, in_words, seconds
from checks.kind import Kind
from checks.kinds import sql
from checks.result import Beat, CannotLook, Observation, Past, Spec, Verdict
from connections.guard import Guard, Refused
from connections.link import Link
from errors import Invalid

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MIN = timedelta(minutes=1)


def spec(kind: str, config: dict[str, Any] | None = None, **how: Any) -> Spec:
    whole = checked(registry.KINDS[kind].fields, config or {}) if kind in registry.KINDS else config or {}
    return Spec(uuid4(), "a check", kind, uuid4(), whole, **how)


# ---------------------------------------------------------------- fields

FIELDS = (
    Field("how", "How", "choice", default="a", choices=(("a", "A"), ("b", "B"))),
    Field("column", "Column", required=True, only=("how", ("b",))),
    Field("limit", "Limit", "duration", default=60, low=10, high=86400),
    Field("n", "N", "whole", low=1, high=9),
    Field("on", "On", "switch", default=False),
)


def test_a_config_comes_out_whole_and_what_does_not_count_is_left_out() -> None:
    assert checked(FIELDS, {}) == {"how": "a", "limit": 60, "on": False}
    assert checked(FIELDS, {"how": "b", "column": " c ", "limit": "2 h", "n": "3", "on": True}) == {
        "how": "b", "column": "c", "limit": 7200, "n": 3, "on": True,
    }  # fmt: skip
    assert "column" not in checked(FIELDS, {"how": "a", "column": "c"})


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"how": "c"}, "config.how"),
        ({"how": "b"}, "config.column"),
        ({"limit": "soon"}, "config.limit"),
        ({"limit": 5}, "config.limit"),
        ({"limit": True}, "config.limit"),
        ({"n": 1.5}, "config.n"),
        ({"n": float("nan")}, "config.n"),
        ({"n": 10}, "config.n"),
        ({"on": "yes"}, "config.on"),
        ({"how": "b", "column": "x\x00"}, "config.column"),
        ({"else": 1}, "config.else"),
    ],
)
def test_what_is_wrong_names_its_field(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as e:
        checked(FIELDS, said)
    assert e.value.field == field


@pytest.mark.parametrize(
    ("text", "n"),
    [("90", 90), ("90 s", 90), ("15min", 900), ("1 h 30 min", 5400), ("2 days", 172800), ("0.5 h", 1800)],
)
def test_durations_are_read_as_people_write_them(text: str, n: float) -> None:
    assert seconds(text) == n
    assert seconds(in_words(n)) == n


@pytest.mark.parametrize("text", ["", "soon", "5 fortnights", "min", "-5", "5 min ago"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


def test_every_kind_is_told_so_that_a_form_can_be_made_of_it() -> None:
    assert len(registry.KINDS) >= 1
    for name, kind in registry.KINDS.items():
        assert name == kind.name
        assert kind.label and kind.says and kind.every_seconds >= 10
        names = [f.name for f in kind.fields]
        assert len(names) == len(set(names))
        for f in kind.fields:
            assert f.kind in FIELD_KINDS, (name, f.name)
            assert f.label, (name, f.name)
            assert (f.kind == "choice") == bool(f.choices), (name, f.name)
            if f.only:
                assert f.only[0] in names[: names.index(f.name)], (
                    name,
                    f.name,
                    "stands after what it depends on",
                )
        given = {f.name: "x" for f in kind.fields if f.required and f.default is None and f.kind == "text"}
        given |= {f.name: "select 1" for f in kind.fields if f.required and f.kind == "sql"}
        given |= {
            f.name: 1
            for f in kind.fields
            if f.required and f.default is None and f.kind in ("number", "whole")
        }
        assert checked(kind.fields, checked(kind.fields, given)) == checked(kind.fields, given), name


# ---------------------------------------------------------------- looking


def kind(observe: Any = None, judge: Any = None, **how: Any) -> Kind:
    return Kind(
        "tried", "Tried", "It failed", (), observe or (lambda s, k, now: Observation(now, {})),
        judge or (lambda s, seen, past: Verdict("ok", "good", 1.0)), **how,
    )  # fmt: skip


LINK = Link(UUID(int=1), "db", "postgres", {"host": "h"}, Guard(), {"password": "hunter22"})


def raising(e: Exception) -> Any:
    def observe(*_: Any) -> Observation:
        raise e

    return observe


def look(monkeypatch: pytest.MonkeyPatch, k: Kind, link: Link | None = LINK) -> Verdict:
    monkeypatch.setattr(registry, "KINDS", {"tried": k})
    return registry.look(spec("tried"), link, Past(), NOW)


def test_a_failing_check_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Verdict("fail", "it is bad", 3.0, "late", {"x": 1}, {"m": 2})
    assert look(monkeypatch, kind(judge=lambda *_: said)) == said


def test_what_cannot_be_reached_is_not_checked_with_step_and_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    got = look(
        monkeypatch, kind(raising(CannotLook("no route to h", step="route", hint="look at the firewall")))
    )
    assert (got.status, got.reason) == ("not_checked", "no route to h")
    assert got.detail == {"step": "route", "hint": "look at the firewall"}
    got = look(monkeypatch, kind(judge=raising(CannotLook("no statistics", step="answer"))))
    assert got.status == "not_checked"
    got = look(monkeypatch, kind(raising(Refused("10.0.0.1 is not allowed"))))
    assert (got.status, got.reason) == ("not_checked", "10.0.0.1 is not allowed")


def test_without_its_connection_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(monkeypatch, kind(connections=("postgres",)), None).status == "not_checked"
    assert look(monkeypatch, kind(), None).status == "ok"
    assert registry.look(spec("no such kind"), None, Past(), NOW).status == "not_checked"


def test_a_fault_of_our_own_is_an_error_that_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    got = look(monkeypatch, kind(raising(RuntimeError("postgresql://u:hunter22@h"))))
    assert (got.status, got.detail, got.memory) == ("error", None, None)
    assert "RuntimeError" in got.reason
    assert "hunter22" not in got.reason + caplog.text
    assert "RuntimeError" in caplog.text


def test_a_secret_that_the_other_side_says_back_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Verdict(
        "fail", "no hunter22\x00 here", detail={"a": ["hunter22"]}, memory={"hunter22": "hunter22"}
    )
    assert "hunter22" not in str({**vars(look(monkeypatch, kind(judge=lambda *_: said)))}).replace(
        "'hunter22':", ""
    )
    got = look(monkeypatch, kind(raising(CannotLook("password hunter22 refused", hint="not hunter22"))))
    assert "hunter22" not in f"{got}"


# ---------------------------------------------------------------- heartbeat


def beats(*said: tuple[float, str]) -> tuple[Beat, ...]:
    """(minutes ago, kind), in any order."""
    return tuple(sorted((Beat(NOW - ago * MIN, k) for ago, k in said), key=lambda b: b.at, reverse=True))


def beaten(*said: tuple[float, str], made: float = 10_000, **config: Any) -> Verdict:
    s = spec(
        "heartbeat", {"expect": 3600, "grace": 600} | config, beats=beats(*said), begun_at=NOW - made * MIN
    )
    return registry.look(s, None, Past(), NOW)


@pytest.mark.parametrize(
    ("said", "status", "health"),
    [
        ([(69, "success")], "ok", None),
        ([(71, "success")], "fail", "late"),
        ([(5, "success"), (6, "fail")], "ok", None),
        ([(5, "fail"), (6, "success")], "fail", "failed"),
        # a new start does not clear a failure, a success does
        ([(1, "start"), (5, "fail"), (6, "success")], "fail", "failed"),
        ([(5, "start"), (40, "success")], "ok", None),
        # usual time 10 min: 10 + 5 min, plus grace of 10 min
        ([(24, "start"), *[(m, k) for d in (60, 120, 180) for m, k in ((d - 10, "success"), (d, "start"))]], "ok", None),
        ([(41, "start"), *[(m, k) for d in (60, 120, 180) for m, k in ((d - 10, "success"), (d, "start"))]], "fail", "late"),
        # a start in the future (the clock was set back) does not hang
        ([(-30, "start"), (10, "success")], "ok", None),
        # a success in the future is good now, and no longer than any other
        ([(-600, "success")], "ok", None),
    ],
)  # fmt: skip
def test_heartbeat_stories(said: list[tuple[float, str]], status: str, health: str | None) -> None:
    got = beaten(*said)
    assert got.status == status, got.reason
    if health:
        assert got.health == health


def test_a_heartbeat_never_called_waits_from_when_it_was_made_or_resumed() -> None:
    assert beaten(made=69).status == "ok"
    assert (beaten(made=71).status, beaten(made=71).health) == ("fail", "late")
    # paused for a week: its last call is old, and nobody missed one since it was resumed
    assert beaten((10_000, "success"), made=30).status == "ok"


def test_a_run_longer_than_the_form_says_is_late_before_the_next_is_due() -> None:
    assert beaten((20, "start"), (50, "success"), longest=900, grace=0).health == "late"
    assert beaten((20, "start"), (50, "success"), longest=900, grace=0).status == "fail"
    assert beaten((14, "start"), (50, "success"), longest=900, grace=0).status == "ok"
    assert beaten((5, "success"), (12, "start")).value == 420


# ---------------------------------------------------------------- volume

HOUR = timedelta(hours=1)


def counted(
    rows: float,
    values: list[float],
    weekly: list[float] | None = None,
    accepted: datetime | None = None,
    **config: Any,
) -> Verdict:
    s = spec(
        "volume", {"how": "count"} | config,
        accepted={"at": accepted.isoformat(), "memory": {}} if accepted else None,
    )  # fmt: skip
    past = Past(
        values=tuple((NOW - (len(values) - i) * HOUR, v) for i, v in enumerate(values)),
        weekly=tuple((NOW - timedelta(weeks=len(weekly) - i), v) for i, v in enumerate(weekly))
        if weekly
        else (),
    )
    return registry.KINDS["volume"].judge(s, Observation(NOW, {"rows": rows, "table": "t"}), past)


def test_volume_is_silent_until_it_has_learnt() -> None:
    got = counted(1, [1000.0] * 13)
    assert got.status == "ok"
    assert "learning" in got.reason and "13 of 14" in got.reason
    assert counted(1, [1000.0] * 14).status == "fail"


# around 1,000 rows: MAD 10, so the usual spread is max(14.8, 2 %) = 20
USUAL = [980, 990, 990, 1000, 1000, 1000, 1000, 1000, 1000, 1010, 1010, 1020, 985, 1015, 990.0, 1010.0]


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (1000, "ok"),
        (1079, "ok"),
        (1081, "warn"),
        (1161, "fail"),
        (921, "ok"),
        (919, "warn"),
        (839, "fail"),
        (1, "fail"),
    ],
)
def test_volume_tells_of_what_is_far_from_the_median(rows: int, status: str) -> None:
    assert counted(rows, USUAL).status == status


@pytest.mark.parametrize(
    ("direction", "rows", "status"),
    [
        ("drop", 500, "fail"),
        ("drop", 5000, "ok"),
        ("rise", 500, "ok"),
        ("rise", 5000, "fail"),
        ("both", 5000, "fail"),
    ],
)
def test_volume_tells_only_of_the_direction_that_matters(direction: str, rows: int, status: str) -> None:
    assert counted(rows, USUAL, direction=direction).status == status


def test_a_table_that_never_moved_is_not_red_at_the_first_row() -> None:
    same = [1000.0] * 30
    assert counted(1001, same).status == "ok"
    assert counted(1100, same).status == "warn"
    assert counted(2000, same).status == "fail"
    # a few rows more or less in a tiny table are nothing either
    assert counted(5, [3.0] * 30).status == "ok"
    assert counted(0, [3.0] * 30, empty_ok=True).status == "ok"


def test_no_rows_at_all_always_tell_where_that_is_not_allowed() -> None:
    assert (counted(0, []).status, counted(0, [0.0] * 30).status) == ("fail", "fail")
    assert (counted(0, [], empty_ok=True).status, counted(0, [0.0] * 30, empty_ok=True).status) == (
        "ok",
        "ok",
    )
    assert counted(0, USUAL, empty_ok=True).status == "fail"


def test_limits_in_rows_hold_while_it_learns() -> None:
    assert counted(9, [], least=10).status == "fail"
    assert counted(10, [], least=10, most=20).status == "ok"
    assert counted(21, [], most=20).status == "fail"


def test_an_hour_of_the_week_has_its_own_baseline_after_four_weeks() -> None:
    # busy days and quiet Sundays
    week = [1000.0, 1010, 990, 1005, 995, 100, 90] * 4
    assert counted(100, week).status == "fail"
    assert counted(100, week, [100.0, 105, 98]).status == "fail", "three weeks are not enough"
    got = counted(100, week, [100.0, 105, 98, 102])
    assert (got.status, got.detail is not None and got.detail["weekly"]) == ("ok", True)
    assert "Friday" in got.reason
    assert counted(1000, week, [100.0, 105, 98, 102]).status == "fail", "usual on a Monday, not at this hour"


def test_an_outlier_that_was_told_does_not_become_usual() -> None:
    assert counted(5000, [*USUAL, 5000, 5000]).status == "fail"


def test_what_people_accept_is_learnt_anew() -> None:
    got = counted(5000, [*USUAL, *[5000.0] * 5], accepted=NOW - 6 * HOUR)
    assert (got.status, "5 of 14" in got.reason) == ("ok", True)
    assert counted(1000, [*USUAL, *[5000.0] * 14], accepted=NOW - 15 * HOUR).status == "fail"


def test_a_growing_table_stays_good() -> None:
    assert counted(1000 + 60 * 25, [1000.0 + 25 * n for n in range(60)]).status == "ok"


# ---------------------------------------------------------------- schema drift

COLUMNS = {"id": "bigint", "name": "varchar(20)", "at": "timestamp"}


def drifted(now: dict[str, str] | None, memory: Any = None, accepted: Any = None, **config: Any) -> Verdict:
    s = spec("schema", config, accepted=accepted)
    seen = {"missing": True} if now is None else {"columns": now, "table": "t"}
    return registry.KINDS["schema"].judge(s, Observation(NOW, seen), Past(memory=memory or {}))


def without(name: str) -> dict[str, str]:
    return {k: v for k, v in COLUMNS.items() if k != name}


def test_schema_drift_from_the_first_look_to_the_accepted() -> None:
    first = drifted(COLUMNS)
    assert first.status == "ok"
    assert drifted(COLUMNS, first.memory).status == "ok"
    more = drifted(COLUMNS | {"email": "text"}, first.memory)
    assert (more.status, more.reason) == ("warn", "added: email text")
    less = drifted(without("name"), more.memory)
    assert (less.status, less.reason) == ("fail", "removed: name")
    other = drifted(COLUMNS | {"id": "text"}, less.memory)
    assert (other.status, other.reason) == ("fail", "other type: id (bigint, now text)")
    # it is told until somebody accepts what is there, and from then on that is what is compared with
    again = drifted(COLUMNS | {"id": "text"}, other.memory)
    assert again.status == "fail"
    accepted = {"at": "2026-11-27T11:00:00+00:00", "memory": again.memory}
    good = drifted(COLUMNS | {"id": "text"}, again.memory, accepted)
    assert good.status == "ok"
    back = drifted(COLUMNS, good.memory, accepted)
    assert (back.status, back.reason) == ("fail", "other type: id (text, now bigint)")
    # drift that went away by itself is good again
    assert drifted(COLUMNS, more.memory).status == "ok"


def test_an_acceptance_counts_although_a_look_was_under_way() -> None:
    seen = drifted(COLUMNS | {"email": "text"}, drifted(COLUMNS).memory)
    accepted = {"at": "2026-11-27T11:00:00+00:00", "memory": seen.memory}
    # the look that began before it writes its memory after it
    late = drifted(COLUMNS | {"email": "text"}, drifted(COLUMNS).memory)
    assert drifted(COLUMNS | {"email": "text"}, late.memory, accepted).status == "ok"


def test_new_columns_by_choice_and_columns_that_do_not_matter() -> None:
    memory = drifted(COLUMNS).memory
    assert drifted(COLUMNS | {"x": "text"}, memory, added="fail").status == "fail"
    taken = drifted(COLUMNS | {"x": "text"}, memory, added="accept")
    assert taken.status == "ok"
    assert drifted(COLUMNS, taken.memory, added="accept").status == "fail", "a column once accepted counts"
    assert drifted(without("at") | {"_loaded": "x"}, memory, ignore="AT, _loaded").status == "ok"


def test_a_table_that_is_gone_fails_and_one_never_seen_is_unknown() -> None:
    assert drifted(None, drifted(COLUMNS).memory).status == "fail"
    with pytest.raises(CannotLook):
        drifted(None)


# ---------------------------------------------------------------- freshness


def aged(seconds: float | None, **config: Any) -> Verdict:
    newest = None if seconds is None else NOW - timedelta(seconds=seconds)
    s = spec("freshness", {"by": "run", "error_after": 3600, "warn_after": 1800} | config)
    return registry.KINDS["freshness"].judge(s, Observation(NOW, {"newest": newest}), Past())


@pytest.mark.parametrize(
    ("age", "status"), [(0, "ok"), (1800, "ok"), (1801, "warn"), (3600, "warn"), (3601, "fail"), (-60, "ok")]
)
def test_freshness_has_two_limits(age: float, status: str) -> None:
    got = aged(age)
    assert (got.status, got.value) == (status, max(0, age))
    if status == "fail":
        assert got.health == "late"


def watched(story: list[tuple[int, int]], **config: Any) -> list[str]:
    """(minutes passed, rows ever written) of each look."""
    s = spec("freshness", {"by": "statistics", "error_after": 3600} | config)
    memory: Any = {}
    out = []
    for minute, written in story:
        seen = Observation(NOW + minute * MIN, {"written": written, "table": "t"})
        got = registry.KINDS["freshness"].judge(s, seen, Past(memory=memory))
        memory = got.memory
        out.append(got.status)
    return out


def test_statistics_tell_of_changes_between_two_looks() -> None:
    assert watched([(0, 5), (10, 5), (20, 6), (60, 6), (80, 6), (81, 6), (90, 7)]) == [
        "ok", "ok", "ok", "ok", "ok", "fail", "ok",
    ]  # fmt: skip
    # nothing since DLV began to watch
    assert watched([(0, 5), (60, 5), (61, 5)]) == ["ok", "ok", "fail"]
    # statistics that were reset are neither a change nor none
    assert watched([(0, 500), (30, 2), (61, 2), (62, 3)]) == ["ok", "ok", "fail", "ok"]


def test_the_servers_own_time_of_change_outlives_its_restart() -> None:
    k = registry.KINDS["freshness"]
    s = spec("freshness", {"by": "statistics", "error_after": 3600})
    with pytest.raises(CannotLook):
        k.judge(s, Observation(NOW, {"updated": None, "table": "t"}), Past())
    seen = k.judge(s, Observation(NOW, {"updated": NOW - 30 * MIN, "table": "t"}), Past())
    later = k.judge(
        s, Observation(NOW + 20 * MIN, {"updated": None, "table": "t"}), Past(memory=seen.memory or {})
    )
    assert (seen.status, later.status, later.value) == ("ok", "ok", 3000)
    assert (
        k.judge(s, Observation(NOW + 31 * MIN, {"updated": None}), Past(memory=later.memory or {})).status
        == "fail"
    )


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (datetime(2026, 11, 27, 11, tzinfo=UTC), NOW - HOUR),
        (datetime(2026, 11, 27, 12), NOW - HOUR),  # Berlin's 12 h
        (datetime(2026, 7, 1, 12), datetime(2026, 7, 1, 10, tzinfo=UTC)),  # in summer
        (date(2026, 11, 27), NOW),  # a row of today is as fresh as can be
        (date(2026, 11, 26), datetime(2026, 11, 26, 23, tzinfo=UTC)),
        (date(2026, 11, 29), datetime(2026, 11, 28, 23, tzinfo=UTC)),
        (1795777200, NOW - HOUR),
        (1795777200000, NOW - HOUR),
        (1795777200000000, NOW - HOUR),
        (1795777200000000000, NOW - HOUR),
        (Decimal("1795777200.0"), NOW - HOUR),
        ("1795777200", NOW - HOUR),
        ("2026-11-27 12:00:00", NOW - HOUR),
        ("2026-11-27T11:00:00Z", NOW - HOUR),
        ("2026-11-27", NOW),
    ],
)
def test_times_as_columns_hold_them(value: Any, at: datetime) -> None:
    assert moments.moment(value, BERLIN, NOW) == at


@pytest.mark.parametrize("value", ["yesterday", True, b"x", "", 10**40])
def test_what_is_no_time_is_said_to_be_none(value: Any) -> None:
    with pytest.raises(CannotLook):
        moments.moment(value, BERLIN, NOW)


# ---------------------------------------------------------------- custom SQL


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from orders",
        "SELECT 1;",
        "with x as (select 1 as n) select max(n) from x",
        "select (select count(*) from a) - (select count(*) from b)",
        "select count(*) from (select 1 union all select 2) u",
        "select count(*) from t where name = 'insert; delete' -- drop table t",
        "select count(*) filter (where a > 1) from t",
        "select count(*) from t where x like '10%'",
    ],
)
@pytest.mark.parametrize("dialect", ["postgres", "sqlite", None])
def test_a_query_that_reads_is_taken(query: str, dialect: str | None) -> None:
    assert sql.statement(query, dialect).startswith(("select", "SELECT", "with"))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "-- nothing",
        "not sql at all )",
        "delete from t",
        "drop table t",
        "select 1; drop table t",
        "select 1; select 2",
        "with d as (delete from t returning 1) select count(*) from d",
        "with d as (insert into t values (1) returning 1) select count(*) from d",
        "select * into copy from t",
        "select count(*) from t for update",
        "select pg_terminate_backend(1)",
        "select pg_sleep(10)",
        "select length(pg_read_file('/etc/passwd'))",
        "select lo_import('/etc/passwd')",
        "select count(*) from dblink('host=x', 'select 1') as t(a int)",
        "select set_config('statement_timeout', '0', false)",
        "select nextval('s')",
        "select load_file('/etc/passwd')",
        "select sleep(5)",
        "select 1 /*!50000 into outfile '/tmp/x' */",
        "select load_extension('x')",
        "pragma query_only = off",
        "attach 'x' as y",
        "explain select 1",
        "copy t to '/tmp/x'",
        "set statement_timeout = 0",
        "begin",
        "call p()",
        "values (1); vacuum",
        "show tables",
    ],
)
@pytest.mark.parametrize("dialect", ["postgres", "mysql", "sqlite", None])
def test_a_query_that_does_more_is_refused(query: str, dialect: str | None) -> None:
    with pytest.raises(Invalid) as e:
        sql.statement(query, dialect)
    assert e.value.field == "config.query"


def test_only_one_number_is_taken_and_nothing_else_is_told() -> None:
    assert sql.number([(Decimal("1.5"),)], 1) == 1.5
    assert sql.number([(True,)], 1) == 1
    for rows, columns in (
        ([], 1), ([(1,), (2,)], 1), ([(1, 2)], 2), ([("secret name",)], 1), ([(None,)], 1), ([(float("nan"),)], 1),
    ):  # fmt: skip
        with pytest.raises(CannotLook) as e:
            sql.number(rows, columns)
        assert "secret name" not in f"{e.value}{e.value.hint}"


def limited(n: float, **config: Any) -> str:
    s = spec("sql", {"query": "select 1"} | config)
    return registry.KINDS["sql"].judge(s, Observation(NOW, {"number": n}), Past()).status


def test_limits_of_a_number() -> None:
    two = {"op": "le", "warn": 10, "error": 20}
    assert [limited(n, **two) for n in (10, 10.5, 20, 20.5)] == ["ok", "warn", "warn", "fail"]
    least = {"op": "ge", "warn": 20, "error": 10}
    assert [limited(n, **least) for n in (20, 19, 10, 9)] == ["ok", "warn", "warn", "fail"]
    assert [limited(n, op="lt", error=0) for n in (-1, 0)] == ["ok", "fail"]
    assert [limited(n, op="gt", warn=0) for n in (1, 0)] == ["ok", "warn"]
    assert [limited(n, op="eq", error=0) for n in (0, 1)] == ["ok", "fail"]
    assert [limited(n, op="ne", error=0) for n in (1, 0)] == ["ok", "fail"]


@pytest.mark.parametrize(
    ("kind_", "config", "field"),
    [
        ("sql", {"query": "select 1"}, "config.error"),
        ("sql", {"query": "select 1", "op": "le", "warn": 5, "error": 5}, "config.warn"),
        ("sql", {"query": "select 1", "op": "ge", "warn": 5, "error": 6}, "config.warn"),
        ("sql", {"query": "drop table t", "error": 1}, "config.query"),
        ("freshness", {"column": "at", "error_after": 60, "warn_after": 60}, "config.warn_after"),
        ("freshness", {"column": "at", "zone": "Mars"}, "config.zone"),
        ("freshness", {}, "config.column"),
        ("volume", {"how": "window"}, "config.column"),
        ("volume", {"warn_spreads": 8}, "config.warn_spreads"),
        ("volume", {"least": 5, "most": 4}, "config.least"),
        ("volume", {"zone": "Mars"}, "config.zone"),
        ("http", {"status": "2xx"}, "config.status"),
        ("http", {"path": "http://elsewhere/"}, "config.path"),
        ("http", {"path": "//elsewhere/"}, "config.path"),
        ("http", {"warn_after": 3, "error_after": 2}, "config.warn_after"),
    ],
)
def test_fields_that_contradict_each_other_are_told(kind_: str, config: dict[str, Any], field: str) -> None:
    k = registry.KINDS[kind_]
    with pytest.raises(Invalid) as e:
        edits.whole(k, config, "postgres")
    assert e.value.field == field
