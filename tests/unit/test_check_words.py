"""How a check is told: its number, when it looks next, times in a form that mean exactly what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checks.fields import seconds
from pages import _check_forms, _check_words, _words

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("freshness", 5400, "1 h 30 min"), ("http", 92.4, "92 ms"), ("reachable", 3.21, "3.2 ms"),
        ("volume", 1204, "1,204 rows"), ("sql", 3, "3 orders"), ("sql", 0.25, "0.25 orders"), ("schema", None, ""),
        ("no longer known", 7, "7"),
    ],
)  # fmt: skip
def test_a_number_has_its_unit(kind: str, value: float | None, said: str) -> None:
    assert _check_words.number(kind, value, {"unit": "orders"}) == said


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (-5, "now"),
        (1, "now"),
        (40, "in 40 s"),
        (100, "in 2 min"),
        (2200, "in 37 min"),
        (90_000, "in 1 d 1 h"),
    ],
)
def test_when_it_looks_next(left: float, said: str) -> None:
    assert _check_words.soon(NOW + timedelta(seconds=left), NOW) == said
    assert _check_words.soon(None, NOW) == ""


@pytest.mark.parametrize("value", [0.01, 0.8, 1, 59, 90, 120, 3600, 3661, 5430, 86400, 90061, 1814400])
def test_a_time_in_a_form_means_exactly_what_is_stored(value: float) -> None:
    assert seconds(_check_forms._time(value)) == value


@pytest.mark.parametrize(
    ("row", "state", "word"),
    [
        ({"state": "failed"}, "failed", "Failed"),
        ({"state": "unknown", "slot_at": None}, "unknown", "Not looked yet"),
        ({"state": "unknown", "status": "not_checked"}, "unknown", "Could not look"),
        ({"state": "unknown", "status": "error"}, "unknown", "DLV's own fault"),
        ({"state": "paused"}, "unknown", "Paused"),
        ({"state": "muted", "muted_until": NOW}, "unknown", "Muted"),
        ({"state": "retired"}, "unknown", "Removed"),
    ],
)
def test_a_state_has_a_word_and_a_shape(row: dict[str, object], state: str, word: str) -> None:
    said = _check_words.state({"slot_at": NOW, "status": "fail", "reason": "why"} | row)
    assert (said["state"], said["word"]) == (state, word)
    assert ("icon" in said) == (row["state"] in ("paused", "muted", "retired"))


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "—"), (100.0, "100 %"), (99.9999, "99.99 %"), (99.5, "99.5 %"), (66.6667, "66.67 %"), (0.0004, "0.01 %"),
        (0.0, "0 %"),
    ],
)  # fmt: skip
def test_a_share_is_whole_or_nothing_only_where_it_is(share: float | None, said: str) -> None:
    assert _words.percent(share) == said
