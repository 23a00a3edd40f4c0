"""Kinds of check: fields, the registry that never raises, and story tests of judging."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from checks import registry
from checks.fields import FIELD_KINDS, Field, checked, in_words, seconds
from checks.kind import Kind
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
