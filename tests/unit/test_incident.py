"""What joins what: stories of the rule, and that the order in which DLV hears of it changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.incident import (
    Action,
    Change,
    Estate,
    Grouped,
    Incident,
    Joined,
    Linked,
    Member,
    Merged,
    Opened,
    Recovered,
    Reopened,
    Rerooted,
    Resolved,
    decide,
    hold,
    relapse,
)

T0 = datetime(2026, 11, 27, 6, tzinfo=UTC)
WINDOW = timedelta(minutes=30)


def node(n: int) -> UUID:
    return UUID(int=n)


def at(minute: float) -> datetime:
    return T0 + timedelta(minutes=minute)


class World:
    """Incidents as the actions leave them: what the record keeps, in memory."""

    def __init__(
        self, edges: Iterable[tuple[int, int]] = (), jobs: Iterable[int] = (), **more: object
    ) -> None:
        parents = more.get("parents", {})
        assert isinstance(parents, dict)
        self.estate = Estate(
            frozenset((node(a), node(b)) for a, b in edges),
            frozenset(node(j) for j in jobs),
            {node(c): node(p) for c, p in parents.items()},
        )
        self.incidents: dict[UUID, Incident] = {}
        self.links: dict[UUID, UUID] = {}
        self.n = 0

    def change(self, n: int, minute: float, now: str, good: float | None = None, **more: object) -> Change:
        self.n += 1
        said = more.pop("reason", "it broke")
        return Change(
            self.n, node(n), at(minute), "ok" if now != "ok" else "failed", now, str(said), at(minute),
            None if good is None else at(good), **more,  # type: ignore[arg-type]
        )  # fmt: skip

    def take(self, changes: Sequence[Change], **how: object) -> list[Action]:
        done = decide(changes, self.incidents.values(), self.estate, window=WINDOW, **how)  # type: ignore[arg-type]
        for a in done:
            self.apply(a)
        for i in self.incidents.values():
            roots = [m for m in i.members if m.node == i.root]
            assert i.status == "merged" or len(roots) == 1
        return done

    def fails(self, n: int, minute: float, good: float | None = -600, **more: object) -> list[Action]:
        return self.take([self.change(n, minute, "failed", good, **more)])

    def late(self, n: int, minute: float, good: float | None = -600, **more: object) -> list[Action]:
        return self.take([self.change(n, minute, "late", good, **more)])

    def recovers(self, n: int, minute: float) -> list[Action]:
        return self.take([self.change(n, minute, "ok", minute)])

    def apply(self, a: Action) -> None:
        got = self.incidents
        if isinstance(a, Opened):
            got[a.incident] = Incident(
                a.incident, len(got) + 1, a.root.node, members=(a.root,), graph_away=a.away
            )
        elif isinstance(a, Joined):
            if a.was_in:
                self.drop(a.was_in, a.member.node)
            self.drop(a.incident, a.member.node)
            i = got[a.incident]
            got[a.incident] = replace(i, members=(*i.members, a.member))
        elif isinstance(a, Recovered):
            i = got[a.incident]
            m = next(m for m in i.members if m.node == a.node)
            self.drop(a.incident, a.node)
            i = got[a.incident]
            got[a.incident] = replace(i, members=(*i.members, replace(m, recovered_at=a.at, health="ok")))
        elif isinstance(a, Rerooted):
            got[a.incident] = replace(got[a.incident], root=a.root)
        elif isinstance(a, Merged):
            for m in got[a.incident].members:
                self.drop(a.into, m.node)
                i = got[a.into]
                got[a.into] = replace(i, members=(*i.members, m))
            got[a.incident] = replace(got[a.incident], status="merged", members=())
        elif isinstance(a, Resolved):
            got[a.incident] = replace(got[a.incident], status="resolved", resolved_at=a.at)
        elif isinstance(a, Reopened):
            got[a.incident] = replace(got[a.incident], status="open", resolved_at=None)
        elif isinstance(a, Grouped):
            got[a.incident] = replace(got[a.incident], graph_away=False)
        elif isinstance(a, Linked):
            self.links[a.incident] = a.to

    def drop(self, id_: UUID, n: UUID) -> None:
        i = self.incidents[id_]
        self.incidents[id_] = replace(i, members=tuple(m for m in i.members if m.node != n))

    def open(self) -> dict[int, set[int]]:
        """{root: all its members} of the open incidents."""
        return {
            i.root.int: {m.node.int for m in i.members} for i in self.incidents.values() if i.status == "open"
        }

    def of(self, root: int) -> Incident:
        (found,) = [i for i in self.incidents.values() if i.root == node(root) and i.status != "merged"]
        return found

    def told(self, root: int, minute: float) -> None:
        i = self.of(root)
        self.incidents[i.id] = replace(i, told_at=at(minute))


#: job 11 writes 1, which job 12 reads to write 2, which job 13 reads to write 3
LINE = [(11, 1), (1, 12), (12, 2), (2, 13), (13, 3)]
JOBS = (11, 12, 13)


# ---------------------------------------------------------------- stories


def test_what_follows_from_a_failure_joins_it() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.fails(1, 0)
    w.fails(12, 5)
    w.late(3, 20)
    assert w.open() == {11: {11, 1, 12, 3}}
    assert {m.node.int: (m.cause and m.cause.int, m.hop) for m in w.of(11).members} == {
        11: (None, None), 1: (11, 1), 12: (1, 1), 3: (12, 3),
    }  # fmt: skip


def test_a_root_that_shows_up_later_takes_over() -> None:
    w = World(LINE, JOBS)
    w.late(3, 1)
    w.fails(12, 2)
    number = w.of(12).number
    assert w.open() == {12: {12, 3}}
    done = w.fails(11, 0)
    assert w.open() == {11: {11, 12, 3}}
    assert w.of(11).number == number
    assert [type(a) for a in done if isinstance(a, (Opened, Merged, Rerooted))] == [Rerooted]


def test_a_failure_heard_of_late_is_as_old_as_it_is() -> None:
    w = World(LINE, JOBS)
    w.late(11, 20)
    w.fails(12, 5, good=-10)
    assert w.open() == {11: {11, 12}}  # it went bad later, but after 12 was last good
    w.fails(11, 0)
    (root,) = [m for m in w.of(11).members if m.node == node(11)]
    assert (root.since, root.health) == (at(0), "failed")


def test_several_become_one_under_the_key_that_was_told_first() -> None:
    w = World([(1, 11), (1, 12), (1, 13)], JOBS)
    for n in (11, 12, 13):
        w.fails(n, n)
    assert w.open() == {11: {11}, 12: {12}, 13: {13}}
    w.told(12, 15)
    w.told(11, 16)
    kept = w.of(12).id
    w.late(1, 5)
    assert w.open() == {1: {1, 11, 12, 13}}
    assert w.of(1).id == kept
    assert [i.status for i in w.incidents.values()].count("merged") == 2


def test_a_week_old_red_swallows_nothing() -> None:
    w = World(LINE, JOBS)
    w.fails(1, -7 * 24 * 60, good=-8 * 24 * 60)
    w.fails(12, 0, good=-60)
    w.late(3, 30, good=-60)
    assert w.open() == {1: {1}, 12: {12, 3}}
    assert w.links == {}


def test_in_doubt_it_opens_its_own_and_says_so() -> None:
    w = World(LINE, JOBS)
    w.fails(1, 0)
    w.fails(12, 5, good=None)
    assert w.open() == {1: {1}, 12: {12}}
    assert w.links == {w.of(12).id: w.of(1).id}


def test_what_was_never_good_follows_from_the_job_that_writes_it() -> None:
    w = World(LINE, JOBS)
    w.fails(12, 0)
    w.fails(2, 1, good=None)
    assert w.open() == {12: {12, 2}}


def test_one_run_is_one_incident_even_without_the_graph() -> None:
    run = UUID(int=77)
    w = World(LINE, JOBS)
    change = [w.change(2, 0, "failed", None, run=run), w.change(12, 0, "failed", None, run=run)]
    w.take(change, away=True)
    assert w.open() == {12: {12, 2}}


def test_without_the_graph_each_opens_its_own_and_they_are_grouped_later() -> None:
    w = World(LINE, JOBS)
    w.take([w.change(n, m, "failed", -600) for n, m in ((3, 9), (12, 5), (11, 0))], away=True)
    assert w.open() == {3: {3}, 12: {12}, 11: {11}}
    assert all(i.graph_away for i in w.incidents.values())
    w.told(12, 10)
    key = w.of(12).id
    w.take([], again=[node(n) for n in (3, 11, 12)])
    assert w.open() == {11: {3, 11, 12}}
    assert w.of(11).id == key
    assert not w.of(11).graph_away


def test_a_dag_that_failed_with_its_task_is_its_symptom() -> None:
    w = World([], (21, 22, 23), parents={21: 30, 22: 30, 23: 30})
    w.fails(30, 2)
    w.fails(21, 1)
    w.late(22, 25)
    assert w.open() == {21: {21, 22, 30}}


def test_a_task_of_the_dag_that_failed_for_itself_is_its_own() -> None:
    w = World([], (21, 22), parents={21: 30, 22: 30})
    w.fails(21, 1)
    w.fails(22, 2)
    w.fails(30, 3)
    assert w.open() == {21: {21}, 22: {22, 30}}


def test_of_a_ring_the_earliest_is_the_root() -> None:
    w = World([(1, 11), (11, 2), (2, 12), (12, 1)], (11, 12))
    w.fails(12, 8)
    w.fails(2, 4)
    w.fails(11, 6)
    assert w.open() == {2: {2, 11, 12}}


def test_unrelated_failures_inside_the_radius_stay_apart() -> None:
    w = World([(1, n) for n in range(100, 130)], range(100, 130))
    w.fails(1, 0)
    for n in range(100, 110):
        w.fails(n, 3)
    for n in range(110, 130):
        w.fails(n, 5, good=1)
    assert w.open() == {1: {1, *range(100, 110)}} | {n: {n} for n in range(110, 130)}


def test_it_is_over_when_all_are_good_again() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.fails(12, 5)
    w.recovers(11, 10)
    assert w.open() == {11: {11, 12}}
    w.recovers(12, 15)
    assert w.open() == {}
    assert w.of(11).resolved_at == at(15)


def test_it_opens_again_within_the_window_and_not_after_it() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.recovers(11, 10)
    w.fails(11, 20, good=10)
    assert w.open() == {11: {11}}
    assert len(w.incidents) == 1
    w.recovers(11, 25)
    w.fails(11, 56, good=25)
    assert len(w.incidents) == 2


def test_a_member_that_flaps_stays_where_it_is() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.fails(12, 5)
    for minute in range(10, 60, 10):
        w.recovers(12, minute)
        w.fails(12, minute + 5, good=minute)
    assert w.open() == {11: {11, 12}}


def test_a_member_that_fails_anew_days_later_is_a_new_failure() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.fails(12, 5)
    w.recovers(12, 10)
    w.fails(12, 3 * 24 * 60, good=3 * 24 * 60 - 30)
    assert w.open() == {11: {11, 12}, 12: {12}}


def test_a_root_that_fails_anew_while_a_symptom_never_recovered_is_told_of() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.fails(12, 5)
    w.recovers(11, 10)
    done = w.fails(11, 3 * 24 * 60, good=3 * 24 * 60 - 30)
    assert [a for a in done if isinstance(a, Opened)]
    assert len(w.incidents) == 2


def test_what_waits_for_a_repaired_root_is_late_because_of_it() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.recovers(11, 10)
    w.late(2, 25)
    assert w.open() == {11: {11, 2}}


def test_what_fails_after_the_repair_is_in_doubt() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.recovers(11, 10)
    w.fails(12, 25)
    assert w.open() == {12: {12}}
    assert w.links == {w.of(12).id: w.of(11).id}


def test_a_failure_heard_of_after_the_repair_belongs_to_it() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.recovers(11, 10)
    w.fails(12, 5)
    assert w.open() == {11: {11, 12}}


def test_what_people_closed_takes_nothing_in() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    i = w.of(11)
    w.incidents[i.id] = replace(i, status="resolved", resolved_at=at(3))
    w.fails(12, 5)
    assert w.open() == {12: {12}}
    assert w.links == {w.of(12).id: i.id}


def test_a_closed_member_that_gets_worse_opens_it_again() -> None:
    w = World(LINE, JOBS)
    w.late(11, 0)
    i = w.of(11)
    w.incidents[i.id] = replace(i, status="resolved", resolved_at=at(3))
    w.fails(11, 5)
    assert w.open() == {11: {11}}
    assert w.of(11).id == i.id


def test_unknown_and_warn_are_no_recovery() -> None:
    w = World(LINE, JOBS)
    w.fails(11, 0)
    w.take([w.change(11, 5, "unknown"), w.change(11, 6, "warn")])
    assert w.open() == {11: {11}}
    w.take([w.change(11, 7, "unknown", reason="nothing known yet")])
    assert w.open() == {}


def test_a_blip_within_one_batch_is_opened_and_resolved() -> None:
    w = World(LINE, JOBS)
    w.take([w.change(11, 0, "failed", -600), w.change(11, 1, "ok", 1)])
    assert (w.open(), w.of(11).status) == ({}, "resolved")


def test_the_nearest_of_two_causes_explains() -> None:
    w = World([(1, 11), (11, 2), (2, 12), (3, 12)], (11, 12))
    w.fails(1, 0)
    w.fails(3, 1)
    w.fails(12, 5)
    assert w.open() == {1: {1}, 3: {3, 12}}
    # one that went bad later never takes away what an earlier one explains
    w.fails(2, 6, good=3)
    assert w.open() == {1: {1}, 2: {2}, 3: {3, 12}}


@pytest.mark.parametrize(("bad", "reopened", "minutes"), [(0.5, 0, 1), (4, 0, 6), (300, 0, 30), (0.5, 1, 30)])
def test_a_recovery_is_told_once_it_has_held(bad: float, reopened: int, minutes: float) -> None:
    held = hold(timedelta(minutes=bad), timedelta(minutes=1), WINDOW, reopened)
    assert held == timedelta(minutes=minutes)


def test_a_relapse_is_told_once_it_has_lasted() -> None:
    assert relapse(timedelta(minutes=1), WINDOW) == timedelta(minutes=10)
    assert relapse(timedelta(minutes=1), timedelta(0)) == timedelta(minutes=1)


# ---------------------------------------------------------------- in any order


@st.composite
def storms(draw: st.DrawFn) -> tuple[World, list[tuple[int, int, str, int | None]]]:
    """An estate of datasets (below 100) and jobs with rings, and who went bad when, last good when."""
    datasets, jobs = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    d, j = st.integers(1, datasets), st.integers(101, 100 + jobs)
    edges = draw(st.lists(st.one_of(st.tuples(d, j), st.tuples(j, d)), max_size=16))
    nodes = [*range(1, datasets + 1), *range(101, 101 + jobs)]
    parents = draw(st.dictionaries(j, st.just(200), max_size=3))
    w = World(edges, [*range(101, 101 + jobs), 200], parents=parents)
    bad = draw(st.lists(st.sampled_from([*nodes, 200]), unique=True, min_size=1))
    said = []
    for n in bad:
        minute = draw(st.integers(0, 20))
        good = draw(st.one_of(st.none(), st.integers(-20, minute)))
        said.append((n, minute, draw(st.sampled_from(["failed", "late"])), good))
    return w, said


def heard(w: World, said: Sequence[tuple[int, int, str, int | None]], cuts: random.Random) -> World:
    """The same world, told in this order, in batches of any size."""
    fresh = World()
    fresh.estate = w.estate
    batch: list[Change] = []
    for n, minute, health, good in said:
        batch.append(fresh.change(n, minute, health, good))
        if cuts.random() < 0.4:
            fresh.take(batch)
            batch = []
    fresh.take(batch)
    return fresh


@settings(max_examples=400, deadline=None)
@given(storms(), st.randoms(use_true_random=False))
def test_any_order_ends_in_the_same_incidents(
    storm: tuple[World, list[tuple[int, int, str, int | None]]], rng: random.Random
) -> None:
    w, said = storm
    first = heard(w, said, rng)
    for _ in range(3):
        rng.shuffle(said)
        again = heard(w, said, rng)
        assert again.open() == first.open()
        assert causes(again) == causes(first)
    # everybody is in exactly one, whose root nothing explains
    members = [n for ns in first.open().values() for n in ns]
    assert sorted(members) == sorted(n for n, _, _, _ in said)


def causes(w: World) -> dict[int, int | None]:
    return {
        m.node.int: m.cause.int if m.cause else None
        for i in w.incidents.values()
        if i.status == "open"
        for m in i.members
    }


@settings(max_examples=60, deadline=None)
@given(storms(), st.randoms(use_true_random=False))
def test_grouping_later_is_as_if_the_graph_had_been_there(
    storm: tuple[World, list[tuple[int, int, str, int | None]]], rng: random.Random
) -> None:
    w, said = storm
    there = heard(w, said, rng)
    away = World()
    away.estate = w.estate
    away.take([away.change(n, minute, health, good) for n, minute, health, good in said], away=True)
    assert all(len(ns) == 1 for ns in away.open().values())
    away.take([], again=[node(n) for n, _, _, _ in said])
    assert away.open() == there.open()


@settings(max_examples=60, deadline=None)
@given(storms(), st.randoms(use_true_random=False))
def test_when_all_have_recovered_nothing_is_open(
    storm: tuple[World, list[tuple[int, int, str, int | None]]], rng: random.Random
) -> None:
    w, said = storm
    world = heard(w, said, rng)
    order = [n for n, _, _, _ in said]
    rng.shuffle(order)
    for k, n in enumerate(order):
        world.recovers(n, 30 + k)
    assert world.open() == {}
    assert all(m.recovered_at for i in world.incidents.values() for m in i.members)


def test_a_member_is_in_one_open_incident_only() -> None:
    w = World(LINE, JOBS)
    w.fails(12, 5)
    w.fails(11, 0)
    w.fails(11, 0)
    where = [i for i in w.incidents.values() for m in i.members if m.node == node(12)]
    assert len(where) == 1
    assert isinstance(where[0].members[0], Member)
