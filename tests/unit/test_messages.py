"""What a message says, and that nothing in it can become markup, a call or another message."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import message
from alerts.channels import KINDS, email
from alerts.channels.kind import retry_after
from alerts.channels.webhook import signature
from alerts.message import Dataset, Message

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "alerts.md"
M = Message(
    event="trigger",
    incident="i",
    number=42,
    key="dlv-1",
    title="payments_ingest.load_charges failed",
    severity=2,
    why=("2: 12 datasets of 3 teams lie below", "dashboards/executive_revenue is critical"),
    root="payments_ingest.load_charges",
    root_kind="task",
    root_system="airflow",
    environment="prod",
    error="psycopg.errors.UndefinedTable: relation does not exist",
    log_url="https://airflow.example.com/log?a=1&b=2",
    owner="Payments",
    people=("Ada Lovelace <ada@example.com>", "slack #payments"),
    failed=3,
    late=2,
    at_risk=12,
    datasets=(
        Dataset(
            "finance.revenue", "table", "postgres", "Finance", "fresh within 6 h", "2026-11-23T08:12:00Z"
        ),
        Dataset("dashboards/executive_revenue", "dashboard"),
    ),
    opened_at="2026-11-23T06:10:00Z",
    decided_at="2026-11-23T06:12:00Z",
    link="https://dlv.example.com/incidents/i",
)


def test_the_whole_of_it_as_text() -> None:
    assert message.text(M) == (
        "Severity 2: payments_ingest.load_charges failed\n\n"
        "Root cause: payments_ingest.load_charges (airflow task, prod)\n"
        "Error: psycopg.errors.UndefinedTable: relation does not exist\n"
        "Severity: 2: 12 datasets of 3 teams lie below; dashboards/executive_revenue is critical\n"
        "Affected: 3 failed, 2 late, 12 at risk\n"
        "Owner: Payments, Ada Lovelace <ada@example.com>, slack #payments\n"
        "Since: 23 Nov 2026, 06:10 UTC\n"
        "Log: https://airflow.example.com/log?a=1&b=2\n\n"
        "Datasets at risk:\n"
        "  - finance.revenue (postgres table), Finance: fresh within 6 h, breaks at 23 Nov 2026, 08:12 UTC, in 2 h\n"
        "  - dashboards/executive_revenue (dashboard)\n"
        "  - and 10 more\n\n"
        "Open and acknowledge: https://dlv.example.com/incidents/i\n"
    )


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        ({}, "Severity 2: x"),
        ({"event": "update", "was_severity": 4}, "Now severity 2 (was 4): x"),
        ({"event": "acknowledge", "acknowledged_by": "ada"}, "Acknowledged by ada: x"),
        ({"event": "remind"}, "Still open, and nobody acknowledged: x"),
        ({"event": "resolve", "status": "resolved"}, "Resolved: x"),
        ({"event": "resolve", "status": "merged", "merged_into": 7}, "Part of INC-7 now: x"),
        ({"event": "test"}, "x"),
    ],
)
def test_headlines(change: dict[str, Any], headline: str) -> None:
    assert message.headline(replace(M, title="x", **change)) == headline


def test_while_the_graph_is_away_it_says_so() -> None:
    assert "not known, for the graph is away" in message.text(replace(M, at_risk=None, datasets=()))


def test_it_comes_back_from_the_outbox_as_it_was() -> None:
    assert message.of(json.loads(json.dumps(M.content()))) == M
    assert message.of({"event": "trigger", "a field of tomorrow": 1}) == Message(event="trigger")


class Shape(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(a for a in attrs if a[0] != "style")))

    def handle_data(self, data: str) -> None:
        self.text += data


TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", "<!channel>", "<@U1>", "a&b<c>\"'", "```", "<https://evil|x>", "]]>"]
)


@given(TEXT, TEXT, TEXT)
def test_no_name_and_no_error_becomes_markup(name: str, error: str, team: str) -> None:
    nasty = replace(M, title=name, root=name, error=error, owner=team, why=(error,))
    shape, plain = Shape(), Shape()
    shape.feed(message.as_html(nasty))
    plain.feed(message.as_html(replace(M, title="n", root="n", error="e", owner="t", why=("e",))))
    assert shape.tags == plain.tags
    said = json.dumps(message.slack(nasty), ensure_ascii=False)
    ours = {
        f"<{M.link}|Open and acknowledge>",
        "<https://airflow.example.com/log?a=1&amp;b=2|Log of the run>",
    }
    assert set(re.findall(r"<[^>]*>", said)) <= ours
    assert said.count("```") == 2


def test_a_log_that_is_no_web_page_is_no_link() -> None:
    for url in ("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"):
        bad = replace(M, log_url=url)
        assert url not in message.as_html(bad)
        assert url not in json.dumps(message.slack(bad))
        assert url not in json.dumps(message.pagerduty(bad)["links"])


def test_limits_of_receivers_are_kept() -> None:
    long = "x" * 9000
    big = replace(M, title=long, error=long, root=long, why=(long,) * 9, people=(long,) * 9)
    for block in message.slack(big)["attachments"][0]["blocks"]:
        assert len(block["text"]["text"]) <= 3000
    sent = message.pagerduty(big)
    assert len(sent["payload"]["summary"]) <= 1024 and len(sent["payload"]["source"]) <= 255
    assert len(message.subject(big)) <= 200


def test_the_head_of_a_mail_cannot_be_lengthened() -> None:
    fields = {"from": "DLV <dlv@example.com>", "to": "a@example.com"}
    mail = email.compose(fields, replace(M, title="x\r\nBcc: evil@example.com"), "id", None)
    assert mail["Bcc"] is None
    with pytest.raises(Exception, match="no mail address"):
        email.check(fields | {"to": "a@example.com\r\nBcc:evil"}, {})


# ---------------------------------------------------------------- the webhook's other side, as the docs have it


def test_the_snippet_of_the_docs_checks_what_we_sign() -> None:
    snippet = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    assert snippet
    space: dict[str, Any] = {}
    exec(snippet[1], space)
    check = space["is_from_dlv"]
    body, now = b'{"id": "1"}', int(time.time())
    header = signature("the key", body, now)
    assert check(body, header, "the key")
    assert not check(body + b" ", header, "the key")
    assert not check(body, header, "another key")
    assert not check(body, signature("the key", body, now - 3600), "the key")
    assert not check(body, header.replace(f"t={now}", f"t={now + 1}"), "the key")
    for junk in ("", "t=,v1=", "v1=abc", "t=x,v1=y", "t=1"):
        assert not check(body, junk, "the key")


def test_the_docs_name_every_field_of_a_webhook() -> None:
    text = DOCS.read_text()
    said = message.as_json(M, "1")
    names = (
        set(said)
        | set(said["incident"])
        | set(said["incident"]["root"])
        | set(said["incident"]["datasets"][0])
    )
    assert [n for n in sorted(names) if not re.search(rf"\b{n}\b", text)] == []


def test_retry_after() -> None:
    assert retry_after("120") == 120
    assert retry_after("-5") == 0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after(None) is None


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_hears_the_beginning_and_the_end(kind: str) -> None:
    for event in ("trigger", "resolve"):
        assert KINDS[kind].hears({}, event, True)
