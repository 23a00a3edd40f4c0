"""Slack, in two ways: with a bot's token a message is edited and followed in its thread; an incoming webhook's address
only posts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alerts import message as messages
from alerts.channels.kind import Answer, ChannelKind, NotSent, Sent, post, unless_taken
from alerts.message import Message
from connections.kind import Field, Kind
from connections.link import Link
from errors import Invalid

BOT, HOOK = "bot", "hook"

#: what Slack says, what to do
_HINTS = {
    "invalid_auth": "the token is not known: write it again",
    "not_authed": "the token is missing: write it again",
    "account_inactive": "the app was removed from the workspace: install it again",
    "token_revoked": "the token was revoked: write the new one",
    "token_expired": "the token has expired: write the new one",
    "missing_scope": "give the app the scope chat:write",
    "channel_not_found": "there is no such channel, or the bot is not in it: use its id, and invite the bot",
    "not_in_channel": "invite the bot into the channel: /invite @its-name",
    "is_archived": "the channel is archived: choose another",
    "restricted_action": "the workspace lets this bot not post there: ask its admins",
    "no_service": "the webhook was removed: make a new one",
    "invalid_token": "the webhook's address is wrong: copy it again",
    "channel_is_archived": "the channel is archived: choose another",
    "action_prohibited": "the workspace forbids this: ask its admins",
    "posting_to_general_channel_denied": "the workspace lets this bot not post there: choose another channel",
    "invalid_payload": "this is a fault of DLV: please report it",
    "invalid_blocks": "this is a fault of DLV: please report it",
}
#: what passes by itself
_AGAIN = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "rollup_error"}  # fmt: skip


def send(link: Link, m: Message, id_: str, before: Mapping[str, Any] | None) -> Sent:
    said = messages.slack(m)
    if link.fields.get("way") == HOOK:
        answer = post(link, link.secret.get("webhook_url", ""), _json(said), {}, "Slack")
        word = answer.line()
        unless_taken(
            answer,
            "Slack",
            hints=dict.fromkeys((400, 403, 404, 410), _HINTS.get(word, "copy the webhook's address again")),
        )
        return Sent(f"{answer.status} {word}")
    where = str(link.fields["channel"])
    ts = str((before or {}).get("ts") or "")
    room = str((before or {}).get("channel") or where)
    if ts and m.event in ("update", "acknowledge", "resolve", "remind"):
        try:
            call(link, "chat.update", {"channel": room, "ts": ts, **said})
        except NotSent as e:
            if "message_not_found" not in e.message and "cant_update_message" not in e.message:
                raise
            ts = ""  # somebody removed it: say it anew
        else:
            if m.loud:
                # an edit makes no sound: what people are to notice is said in the thread, and in the channel too
                line = {"text": said["text"], "thread_ts": ts, "reply_broadcast": True}
                call(link, "chat.postMessage", {"channel": room, **line})
            return Sent(
                f"edited {ts}" + (", and said in its thread" if m.loud else ""), {"channel": room, "ts": ts}
            )
    done = call(link, "chat.postMessage", {"channel": where, **said, "unfurl_links": False})
    return Sent(f"posted {done.get('ts')}", {"channel": done.get("channel") or where, "ts": done.get("ts")})


def call(link: Link, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One call of Slack's Web API; its errors come with status 200."""
    headers = {
        "Authorization": f"Bearer {link.secret.get('bot_token', '')}",
        "Content-Type": "application/json; charset=utf-8",
    }
    answer = post(link, f"{link.fields['api_url']}/{method}", _json(body), headers, "Slack")
    unless_taken(answer, "Slack")
    return _said(answer)


def _said(answer: Answer) -> dict[str, Any]:
    try:
        said = json.loads(answer.text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise NotSent("what answers is not Slack's API", hint="check its address", again=False)
    if said.get("ok") is True:
        return said
    word = str(said.get("error") or "unknown_error")[:80]
    raise NotSent(f"Slack says {word}", hint=_HINTS.get(word, ""), again=word in _AGAIN)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def check(fields: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    hook = secrets.get("webhook_url")
    if isinstance(hook, str) and hook and not hook.startswith(("https://", "http://")):
        raise Invalid(
            "a webhook's address begins with https://",
            field="webhook_url",
            hint="copy it from Slack's app page",
        )


def hears(fields: Mapping[str, Any], event: str, loud: bool) -> bool:
    return fields.get("way") != HOOK or loud or event in ("acknowledge", "resolve")


KIND = ChannelKind(
    Kind(
        "slack",
        "Slack",
        "A channel of a Slack workspace",
        (
            Field(
                "way",
                "How",
                "choice",
                default=BOT,
                choices=((BOT, "Bot token: edits what it said"), (HOOK, "Incoming webhook: posts only")),
                binds=True,
            ),
            Field("channel", "Channel", required=True, when=("way", (BOT,)), example="#data-oncall", help="Its name or, better, its id; the bot has to be in it"),
            Field("bot_token", "Bot token", secret=True, required=True, when=("way", (BOT,)), help="xoxb-…, with the scope chat:write"),
            Field("api_url", "Address of the API", "url", default="https://slack.com/api", when=("way", (BOT,)), binds=True, example="https://slack.com/api"),
            Field("webhook_url", "Address of the webhook", secret=True, required=True, when=("way", (HOOK,)), help="https://hooks.slack.com/services/…; whoever has it can post"),
        ),
        lambda link, ladder: "",
    ),
    send,
    hears,
    "With a bot token the first message is edited as things change, and news are said in its thread. An incoming webhook can only post anew.",
    check=check,
)  # fmt: skip
