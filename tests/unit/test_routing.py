"""Who is told of an incident, when, and what: by story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import routing
from alerts.routing import Facts, Rule, Said, Silence, Telling, route, silenced, telling

FINANCE, SALES = uuid4(), uuid4()
PAGER, SLACK, MAIL = uuid4(), uuid4(), uuid4()
REVENUE = Facts(uuid4(), frozenset({"gold", "pii"}), FINANCE, "prod")
ORDERS = Facts(uuid4(), frozenset({"raw"}), SALES, "prod")
SCRATCH = Facts(uuid4(), frozenset(), None, "dev")


def rule(*channels: UUID, **how: object) -> Rule:
    return Rule(uuid4(), "r", channels, **how)  # type: ignore[arg-type]


def told(severity: int, nodes: list[Facts], *rules: Rule) -> set[UUID]:
    return {r.channel for r in route(severity, nodes, rules)}


def test_each_condition_alone() -> None:
    everything = rule(MAIL)
    assert told(4, [ORDERS], everything) == {MAIL}
    assert told(4, [], everything) == {MAIL}, "an incident about a producer has no node"
    for how in (
        {"nodes": frozenset({REVENUE.id})},
        {"tags": frozenset({"gold", "silver"})},
        {"teams": frozenset({FINANCE})},
        {"environments": frozenset({"prod"}), "tags": frozenset({"pii"})},
    ):
        assert told(4, [REVENUE], rule(PAGER, **how)) == {PAGER}, how
        assert told(4, [SCRATCH], rule(PAGER, **how)) == set(), how
        assert told(4, [], rule(PAGER, **how)) == set(), how


def test_conditions_hold_for_one_node_together() -> None:
    """Finance's gold tables: neither Finance's scratch beside another's gold, nor half of it."""
    both = rule(PAGER, tags=frozenset({"raw"}), teams=frozenset({FINANCE}))
    assert told(1, [REVENUE, ORDERS], both) == set()
    assert told(1, [REVENUE, ORDERS, Facts(uuid4(), frozenset({"raw"}), FINANCE)], both) == {PAGER}


def test_a_symptom_is_enough() -> None:
    assert told(3, [ORDERS, REVENUE], rule(PAGER, teams=frozenset({FINANCE}))) == {PAGER}


def test_severity_counts_down() -> None:
    page = rule(PAGER, min_severity=2)
    assert [bool(told(s, [ORDERS], page)) for s in (1, 2, 3, 4)] == [True, True, False, False]


def test_order_stop_and_a_channel_once() -> None:
    first = rule(SLACK, PAGER, teams=frozenset({FINANCE}), stop=True, repeat_minutes=60)
    rest = rule(MAIL, SLACK)
    found = route(1, [REVENUE], [first, rest])
    assert [(f.rule, f.channel, f.repeat_minutes) for f in found] == [
        (first.id, SLACK, 60),
        (first.id, PAGER, 60),
    ]
    assert told(1, [ORDERS], first, rest) == {MAIL, SLACK}
    assert told(1, [REVENUE], rule(SLACK, enabled=False, stop=True), rest) == {MAIL, SLACK}
    assert told(1, [REVENUE]) == set()


def test_group_time_is_the_shortest_that_matches() -> None:
    critical = rule(PAGER, tags=frozenset({"gold"}), group_seconds=10)
    slow = rule(MAIL, teams=frozenset({SALES}), group_seconds=600)
    rules = [critical, slow]
    assert routing.group_seconds([REVENUE], rules, 60) == 10
    assert routing.group_seconds([ORDERS], rules, 60) == 600
    assert routing.group_seconds([ORDERS], [*rules, rule(SLACK)], 60) == 60
    assert routing.group_seconds([SCRATCH], rules, 60) == 60
    page = rule(PAGER, min_severity=1, group_seconds=0)
    assert routing.group_seconds([ORDERS], [page], 60, severity=3) == 60
    assert routing.group_seconds([ORDERS], [page], 60) == 0


# ---------------------------------------------------------------- silences

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def quiet(**how: object) -> Silence:
    return Silence(uuid4(), NOON, NOON + HOUR, **how)  # type: ignore[arg-type]


def test_a_silence_has_a_beginning_and_an_end() -> None:
    s = quiet()
    assert s.until(NOON - timedelta(seconds=1)) is None
    assert s.until(NOON) == NOON + HOUR
    assert s.until(NOON + HOUR) is None


@pytest.mark.parametrize(("repeats", "every"), [("daily", timedelta(days=1)), ("weekly", timedelta(days=7))])
def test_a_window_comes_again(repeats: str, every: timedelta) -> None:
    s = quiet(repeats=repeats)
    for n in (0, 1, 30):
        assert s.until(NOON + n * every + HOUR / 2) == NOON + n * every + HOUR
        assert s.until(NOON + n * every + HOUR) is None
    assert s.until(NOON - every + HOUR / 2) is None, "not before it began"


def test_the_root_decides_whether_it_is_quiet() -> None:
    ingest = quiet(teams=frozenset({SALES}))
    assert silenced(ORDERS, [ORDERS, REVENUE], [ingest], NOON) == (ingest, NOON + HOUR)
    assert silenced(REVENUE, [REVENUE, ORDERS], [ingest], NOON) is None
    assert silenced(None, [ORDERS], [ingest], NOON) == (ingest, NOON + HOUR)
    assert silenced(None, [ORDERS, REVENUE], [ingest], NOON) is None
    assert silenced(None, [], [ingest], NOON) is None
    quiet_one = quiet(producers=frozenset([7]))
    assert silenced(None, [REVENUE], [quiet_one], NOON, 7) == (quiet_one, NOON + HOUR)
    assert silenced(None, [], [quiet_one], NOON, 7) == (quiet_one, NOON + HOUR)
    assert silenced(None, [REVENUE], [quiet_one], NOON, 8) is None
    assert silenced(REVENUE, [], [quiet_one], NOON) is None, "what it tells of may still fail"
    everything = quiet()
    assert silenced(None, [], [everything], NOON) == (everything, NOON + HOUR)
    assert silenced(ORDERS, [], [everything], NOON + HOUR) is None


def test_the_last_to_end_counts() -> None:
    long = Silence(uuid4(), NOON, NOON + 3 * HOUR, nodes=frozenset({ORDERS.id}))
    assert silenced(ORDERS, [], [long, quiet()], NOON) == (long, NOON + 3 * HOUR)


# ---------------------------------------------------------------- what is said

OPEN = Said("open", 3, "orders", False, 4)


def test_what_a_channel_has_still_to_hear() -> None:
    """One incident from its beginning to its end, and the same once more."""
    raised = Said("open", 1, "orders", False, 60)
    rerooted = Said("open", 1, "ingest", False, 60)
    taken = Said("open", 1, "ingest", True, 60)
    over = Said("resolved", 1, "ingest", True, 60)
    assert telling(None, OPEN) == Telling("trigger", True)
    assert telling(OPEN, OPEN) is None
    assert telling(OPEN, raised) == Telling("update", True)
    assert telling(raised, rerooted) == Telling("update", False)
    assert telling(rerooted, taken) == Telling("acknowledge", False)
    assert telling(taken, over) == Telling("resolve", True)
    assert telling(over, over) is None
    assert telling(over, OPEN) == Telling("trigger", True)


def test_who_knew_of_nothing_hears_of_no_end() -> None:
    assert telling(None, Said("resolved", 2, "orders")) is None
    assert telling(None, Said("merged", 2, "orders")) is None


def test_an_incident_that_another_took_over_ends_quietly() -> None:
    assert telling(OPEN, Said("merged", 3, "orders")) == Telling("resolve", False)


def test_a_severity_that_falls_makes_no_noise() -> None:
    assert telling(OPEN, Said("open", 4, "orders", False, 4)) == Telling("update", False)


SAID = st.builds(
    Said,
    st.sampled_from(["open", "resolved", "merged"]),
    st.integers(1, 4),
    st.sampled_from("ab"),
    st.booleans(),
    st.integers(0, 2),
)


@given(st.lists(SAID, max_size=12))
def test_a_receiver_that_hears_everything_is_never_confused(states: list[Said]) -> None:
    """Whatever happens: it begins with a trigger, nothing follows an end but a trigger, and at last it knows."""
    before: Said | None = None
    heard: list[str] = []
    for now in states:
        said = telling(before, now)
        if said:
            heard.append(said.event)
            before = now
        assert telling(before, now) is None
    known = False
    for event in heard:
        assert (event == "trigger") is not known
        known = event != "resolve"
    if states:
        assert known == (states[-1].status == "open")


# ---------------------------------------------------------------- tries


def test_waits_grow_and_end() -> None:
    waits = [routing.wait(n, 0.5) for n in range(1, routing.TRIES + 1)]
    assert waits[-1] is None
    told = [w for w in waits if w is not None]
    assert told == sorted(told)
    assert len(told) == routing.TRIES - 1
    assert 3600 <= sum(told) <= 7200, "given up within two hours"


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    assert routing.wait(1, 0.0, asked=120) == 120
    assert routing.wait(1, 0.0, asked=10**9) == routing.LONGEST
    assert routing.wait(5, 0.0, asked=1) == 600 * 0.75
