"""PagerDuty's Events API v2: trigger, acknowledge and resolve, one incident one dedup key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alerts import message as messages
from alerts.channels.kind import ChannelKind, Sent, post, unless_taken
from alerts.message import Message
from connections.kind import Field, Kind
from connections.link import Link

_HINTS = {
    400: "the integration key is wrong, or the service takes no events of the API v2: write the key again",
    401: "the integration key is not known: write it again",
    403: "the integration key is not known: write it again",
}


def send(link: Link, m: Message, id_: str, before: Mapping[str, Any] | None) -> Sent:
    body = messages.pagerduty(m) | {"routing_key": link.secret.get("routing_key", "")}
    if m.event == "test":
        # a test must wake nobody: it is opened at the lowest urgency and closed at once
        body["dedup_key"] = f"dlv-test-{id_}"
    url = f"{link.fields['url']}/v2/enqueue"
    answer = post(link, url, _json(body), {}, "PagerDuty")
    unless_taken(answer, "PagerDuty", hints=_HINTS)
    if m.event == "test":
        end = {k: body[k] for k in ("routing_key", "dedup_key")} | {"event_action": "resolve"}
        unless_taken(post(link, url, _json(end), {}, "PagerDuty"), "PagerDuty", hints=_HINTS)
    return Sent(f"{answer.status} {answer.line()}".strip())


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def hears(fields: Mapping[str, Any], event: str, loud: bool) -> bool:
    """PagerDuty reminds by itself, by the service's escalation."""
    return event != "remind"


KIND = ChannelKind(
    Kind(
        "pagerduty",
        "PagerDuty",
        "A service of PagerDuty",
        (
            Field(
                "routing_key", "Integration key", secret=True, required=True,
                help="Of an integration Events API v2 of the service",
            ),
            Field(
                "url", "Address", "url", default="https://events.pagerduty.com", binds=True,
                example="https://events.eu.pagerduty.com", help="https://events.eu.pagerduty.com for the EU",
            ),
        ),
        lambda link, ladder: "",
    ),
    send,
    hears,
    "One incident of DLV is one of PagerDuty: triggered, changed, acknowledged and resolved with it. Who is called again and when is PagerDuty's matter.",
)  # fmt: skip
