"""A webhook: JSON to an address of people's own, signed, with an id by which a receiver knows a repetition."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from alerts import message as messages
from alerts.channels.kind import ChannelKind, Sent, post, unless_taken
from alerts.message import Message
from connections.kind import Field, Kind
from connections.link import Link


def signature(secret: str, body: bytes, at: int) -> str:
    """The header X-DLV-Signature: the time and HMAC-SHA256 over ``"{time}.{body}"``, so that an old message sent again
    by somebody else shows. docs/alerts.md has the other side."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


def send(link: Link, m: Message, id_: str, before: Mapping[str, Any] | None) -> Sent:
    body = json.dumps(messages.as_json(m, id_), ensure_ascii=False, separators=(",", ":")).encode()
    headers = {
        "X-DLV-Event": m.event,
        "X-DLV-Delivery": id_,
        "Idempotency-Key": id_,
        "X-DLV-Signature": signature(link.secret.get("signing_key", ""), body, int(time.time())),
    }
    answer = post(link, link.fields["url"], body, headers, "the receiver")
    unless_taken(answer, "the receiver")
    return Sent(f"{answer.status}" + (f" {answer.line()}" if answer.line() else ""))


def hears(fields: Mapping[str, Any], event: str, loud: bool) -> bool:
    return loud or event in ("acknowledge", "resolve") or fields.get("quiet") == "yes"


KIND = ChannelKind(
    Kind(
        "webhook",
        "Webhook",
        "JSON to an address of your own, signed",
        (
            Field(
                "url", "Address", "url", required=True, binds=True, example="https://hooks.example.com/dlv"
            ),
            Field(
                "signing_key",
                "Signing key",
                secret=True,
                required=True,
                help="Any text of 16 characters or more that the receiver knows too: it shows that a message is from DLV",
            ),
            Field(
                "quiet",
                "Changes that are no news",
                "choice",
                default="no",
                choices=(("no", "Leave out"), ("yes", "Send, marked loud: false")),
                help="The root was found later, more nodes joined without raising the severity",
            ),
            Field(
                "ca",
                "CA certificate",
                "pem",
                binds=True,
                help="PEM, where the receiver's certificate is your own",
            ),
        ),
        lambda link, ladder: "",
    ),
    send,
    hears,
    "A receiver may get a message twice, with the same id; it cannot edit what it was sent.",
)
