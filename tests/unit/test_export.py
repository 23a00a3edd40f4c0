"""An exported list opens in a spreadsheet and runs nothing there."""

from __future__ import annotations

import csv
import io

import pytest

from answers.export import cell, to_csv


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝cmd", '=HYPERLINK("http://x")']
)
def test_what_a_spreadsheet_would_run_is_text(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize("text", ["orders", "shop.public.orders", "a=b", "2026-11-23T00:00:00Z", ""])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert cell(text) == text


def test_numbers_stay_numbers_and_nothing_is_empty() -> None:
    assert cell(-3) == -3
    assert cell(None) == ""


def test_rows_survive_commas_quotes_and_line_ends() -> None:
    name = 'a "quoted", name\nof two lines'
    text = to_csv(
        [{"hop": 1, "name": name, "tags": ["pii", "x"], "sla": {"kind": "freshness", "minutes": 60}}]
    )
    row = next(csv.DictReader(io.StringIO(text)))
    assert row["name"] == name
    assert (row["hop"], row["tags"], row["sla_kind"], row["sla_minutes"]) == ("1", "pii;x", "freshness", "60")
