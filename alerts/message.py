"""What a message says of an incident, and how it is written as text, HTML, Slack blocks and JSON. Pure, standard
library only. It never holds a row's data: names, figures, and texts that were redacted when they were stored."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

#: what Slack and PagerDuty show beside a severity
COLOURS = {1: "#b42318", 2: "#d9480f", 3: "#b7791f", 4: "#475467"}
GREEN = "#157f3d"
#: reasons and datasets that a message lists; the incident's page has all
SHOWN = 5


@dataclass(frozen=True)
class Dataset:
    """A dataset at risk, and when it breaks its SLA unless something is done."""

    name: str
    kind: str = ""
    system: str = ""
    team: str = ""
    sla: str = ""
    breaks_at: str = ""  # ISO 8601 in UTC; '' where it has no SLA or that is not known


@dataclass(frozen=True)
class Message:
    """One message as it was decided. ``event``: trigger, update, acknowledge, remind, resolve or test; times are ISO 8601
    in UTC; ``at_risk`` None: not known, for the graph was away."""

    event: str
    loud: bool = True
    incident: str = ""
    number: int = 0
    key: str = ""
    status: str = "open"
    title: str = ""
    severity: int = 4
    was_severity: int | None = None
    why: tuple[str, ...] = ()
    root: str = ""
    root_id: str = ""
    root_kind: str = ""
    root_system: str = ""
    environment: str = ""
    error: str = ""
    log_url: str = ""
    owner: str = ""
    people: tuple[str, ...] = ()
    acknowledged_by: str = ""
    assignee: str = ""
    failed: int = 0
    late: int = 0
    recovered: int = 0
    at_risk: int | None = 0
    datasets: tuple[Dataset, ...] = ()
    opened_at: str = ""
    resolved_at: str = ""
    decided_at: str = ""
    merged_into: int | None = None
    link: str = ""
    rule: str = ""
    repeat_minutes: int | None = None
    note: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """As the outbox keeps it; :func:`of` gives it back."""
        return asdict(self)


def of(content: Mapping[str, Any]) -> Message:
    """A message again, from what :meth:`Message.content` gave. What is not known any more is left out."""
    known = {f.name for f in fields(Message)}
    said = {k: v for k, v in content.items() if k in known}
    said["why"], said["people"] = tuple(said.get("why") or ()), tuple(said.get("people") or ())
    said["datasets"] = tuple(
        Dataset(**{k: str(d.get(k) or "") for k in ("name", "kind", "system", "team", "sla", "breaks_at")})
        for d in said.get("datasets") or ()
    )
    return Message(**said)


def test(name: str, link: str) -> Message:
    """What the test button sends: as long as a real one, and plainly none."""
    return Message(
        event="test",
        title=f"Test of the channel {name}",
        key="dlv-test",
        note="Nothing is broken. DLV sends this because somebody pressed Send test; incidents arrive here like this.",
        link=link,
        decided_at=iso(datetime.now(UTC)),
    )


# ---------------------------------------------------------------- in words


def name(m: Message) -> str:
    """INC-42, as people say it."""
    return f"INC-{m.number}" if m.number else "DLV"


def headline(m: Message) -> str:
    """The one line that has to be read."""
    if m.event == "test":
        return m.title
    if m.status == "merged":
        return f"Part of INC-{m.merged_into} now: {m.title}" if m.merged_into else f"Taken over: {m.title}"
    if m.status == "resolved":
        return f"Resolved: {m.title}"
    if m.event == "acknowledge":
        return f"Acknowledged by {m.acknowledged_by or 'somebody'}: {m.title}"
    if m.event == "remind":
        return f"Still open, and nobody acknowledged: {m.title}"
    if m.event == "update" and m.was_severity is not None and m.severity < m.was_severity:
        return f"Now severity {m.severity} (was {m.was_severity}): {m.title}"
    return f"Severity {m.severity}: {m.title}"


def affected(m: Message) -> str:
    """'3 failed, 2 late, 150 at risk'."""
    parts = [f"{n:,} {what}" for n, what in ((m.failed, "failed"), (m.late, "late")) if n]
    if m.recovered:
        parts.append(f"{m.recovered:,} recovered")
    if m.at_risk is None:
        parts.append("what is at risk is not known, for the graph is away")
    elif m.at_risk:
        parts.append(f"{m.at_risk:,} at risk")
    return ", ".join(parts)


def lasted(m: Message) -> str:
    """How long it took from its beginning to its end, in words; '' while it is open."""
    if not m.opened_at or not m.resolved_at:
        return ""
    return span(when(m.resolved_at) - when(m.opened_at))


def rows(m: Message) -> list[tuple[str, str]]:
    """(label, text) of all there is to say, in the order in which it matters; links and datasets are apart."""
    out: list[tuple[str, str]] = []
    if m.note:
        out.append(("", m.note))
    if m.root:
        what = " ".join(w for w in (m.root_system, m.root_kind) if w and w != "unknown")
        out.append(
            (
                "Root cause",
                f"{m.root}"
                + (f" ({', '.join(w for w in (what, m.environment) if w)})" if what or m.environment else ""),
            )
        )
    if m.error:
        out.append(("Error", m.error))
    if m.event != "test":
        out.append(
            (
                "Severity",
                f"{m.severity}" + (f": {'; '.join(_reason(w) for w in m.why[:SHOWN])}" if m.why else ""),
            )
        )
    if affected(m):
        out.append(("Affected", affected(m)))
    if m.owner or m.people:
        out.append(("Owner", ", ".join([*([m.owner] if m.owner else []), *m.people[:SHOWN]])))
    elif m.event != "test":
        out.append(("Owner", "nobody"))
    if m.acknowledged_by:
        out.append(("Acknowledged by", m.acknowledged_by))
    if m.assignee and m.assignee != m.acknowledged_by:
        out.append(("Assigned to", m.assignee))
    if m.opened_at:
        out.append(("Since", stamp(m.opened_at) + (f", for {lasted(m)}" if lasted(m) else "")))
    return out


def _reason(text: str) -> str:
    """A reason without the severity that it begins with: that stands before all of them."""
    return text[3:] if text[:1].isdigit() and text[1:3] == ": " else text


def risks(m: Message) -> list[str]:
    """A line each for the datasets at risk, the next to break its SLA first."""
    if m.status != "open":
        return []
    out = []
    for d in m.datasets[:SHOWN]:
        what = " ".join(w for w in (d.system, d.kind) if w and w != "unknown")
        line = d.name + (f" ({what})" if what else "") + (f", {d.team}" if d.team else "")
        if d.breaks_at:
            decided = when(m.decided_at) if m.decided_at else datetime.now(UTC)
            left = when(d.breaks_at) - decided
            soon = f"in {span(left)}" if left > timedelta(0) else "already over"
            line += f": {d.sla + ', ' if d.sla else ''}breaks at {stamp(d.breaks_at)}, {soon}"
        elif d.sla:
            line += f": {d.sla}"
        out.append(line)
    more = (m.at_risk or 0) - len(out)
    return [*out, f"and {more:,} more"] if out and more > 0 else out


def action(m: Message) -> str:
    """What the link is for."""
    return (
        "Open and acknowledge"
        if m.status == "open" and not m.acknowledged_by and m.event != "test"
        else "Open in DLV"
    )


def when(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def iso(at: datetime | None) -> str:
    """ISO 8601 in UTC with Z; '' for None."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""


def stamp(text: str) -> str:
    """'23 Nov 2026, 06:12 UTC'."""
    at = when(text).astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def span(length: timedelta) -> str:
    """'45 s', '12 min', '3 h 5 min', '2 days'."""
    s = max(0, round(length.total_seconds()))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min"
    if s < 86400:
        return f"{s // 3600} h" + (f" {s % 3600 // 60} min" if s % 3600 // 60 else "")
    return f"{s // 86400} day" + ("s" if s >= 2 * 86400 else "")


# ---------------------------------------------------------------- as text and HTML, for mail


def subject(m: Message) -> str:
    """The same for all mails of an incident, so that they are one thread."""
    return " ".join(f"[{name(m)}] {m.title}".split())[:200]


def text(m: Message) -> str:
    lines = [headline(m), ""]
    lines += [f"{label}: {said}" if label else said for label, said in rows(m)]
    if m.log_url:
        lines.append(f"Log: {m.log_url}")
    if risks(m):
        lines += ["", "Datasets at risk:", *(f"  - {r}" for r in risks(m))]
    if m.link:
        lines += ["", f"{action(m)}: {m.link}"]
    return "\n".join(lines) + "\n"


def as_html(m: Message) -> str:
    """One column that fits a phone; styles are inline, for mail programs drop all others."""
    e = html.escape
    colour = GREEN if m.status != "open" else COLOURS[m.severity]
    body = [
        f'<p style="margin:0 0 12px;font-size:18px;font-weight:600;border-left:4px solid {colour};padding-left:10px">{e(headline(m))}</p>'
    ]
    cells = "".join(
        f'<tr><td style="padding:3px 12px 3px 0;color:#475467;vertical-align:top;white-space:nowrap">{e(label)}</td>'
        f'<td style="padding:3px 0;overflow-wrap:anywhere">{e(said)}</td></tr>'
        if label
        else f'<tr><td colspan="2" style="padding:3px 0 9px">{e(said)}</td></tr>'
        for label, said in rows(m)
    )
    if cells:
        body.append(f'<table style="border-collapse:collapse;font-size:14px">{cells}</table>')
    if risks(m):
        items = "".join(f'<li style="margin:2px 0">{e(r)}</li>' for r in risks(m))
        body.append(
            f'<p style="margin:14px 0 4px;font-weight:600">Datasets at risk</p><ul style="margin:0;padding-left:18px;font-size:14px">{items}</ul>'
        )
    links = []
    if m.link:
        links.append(
            f'<a href="{e(m.link, quote=True)}" style="display:inline-block;background:#3538cd;color:#ffffff;padding:10px 16px;'
            f'border-radius:6px;text-decoration:none;font-weight:600">{e(action(m))}</a>'
        )
    if safe_url(m.log_url):
        links.append(f'<a href="{e(m.log_url, quote=True)}" style="color:#3538cd">Log of the run</a>')
    if links:
        body.append('<p style="margin:18px 0 0">' + " &nbsp; ".join(links) + "</p>")
    inner = "\n".join(body)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{e(subject(m))}</title></head>"
        '<body style="margin:0;padding:16px;font-family:system-ui,-apple-system,Segoe UI,sans-serif;color:#101828;background:#ffffff">'
        f'<div style="max-width:640px">{inner}</div></body></html>'
    )


def safe_url(url: str) -> bool:
    """Only what a browser opens as a page: never javascript: or data:."""
    return url.startswith(("http://", "https://"))


# ---------------------------------------------------------------- for Slack


def slack(m: Message) -> dict[str, Any]:
    """``text`` (what a notification shows) and ``attachments`` with blocks, as chat.postMessage and incoming webhooks take
    them."""
    e = slack_escape
    blocks: list[dict[str, Any]] = [_section(f"*{e(headline(m))[:2900]}*")]
    lines = [f"*{label}*  {e(said)}" if label else e(said) for label, said in rows(m) if label != "Error"]
    if m.error:
        # a fence of its own: what is inside is no markup, and the error cannot close it
        lines.insert(1 if m.root else 0, f"```{e(m.error)[:1500]}```")
    if lines:
        blocks.append(_section("\n".join(lines)[:2900]))
    if risks(m):
        blocks.append(_section("*Datasets at risk*\n" + "\n".join(f"•  {e(r)}" for r in risks(m))[:2800]))
    links = [f"<{_slack_url(m.link)}|{action(m)}>"] if m.link else []
    if safe_url(m.log_url):
        links.append(f"<{_slack_url(m.log_url)}|Log of the run>")
    if links:
        blocks.append(_section("   ".join(links)))
    colour = GREEN if m.status != "open" else COLOURS[m.severity]
    return {
        "text": e(f"{name(m)} {headline(m)}" if m.number else headline(m))[:2900],
        "attachments": [{"color": colour, "fallback": e(headline(m))[:2900], "blocks": blocks}],
    }


def _section(markdown: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": markdown}}


def slack_escape(said: str) -> str:
    """Nothing in a name or an error calls a person or a channel, makes a link, or opens a fence."""
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("```", "'''")


def _slack_url(url: str) -> str:
    return url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")


# ---------------------------------------------------------------- for machines


def as_json(m: Message, id_: str) -> dict[str, Any]:
    """The body of a webhook; docs/alerts.md describes it. Fields may be added, none changes its meaning."""
    return {
        "id": id_,
        "event": m.event,
        "loud": m.loud,
        "text": headline(m),
        "decided_at": m.decided_at or None,
        "incident": {
            "id": m.incident or None,
            "number": m.number or None,
            "key": m.key,
            "status": m.status,
            "title": m.title,
            "severity": m.severity,
            "severity_was": m.was_severity,
            "severity_why": list(m.why),
            "root": {
                "id": m.root_id or None,
                "name": m.root,
                "kind": m.root_kind,
                "system": m.root_system,
                "environment": m.environment,
            }
            if m.root
            else None,
            "error": m.error,
            "log_url": m.log_url or None,
            "owner": m.owner or None,
            "people": list(m.people),
            "acknowledged_by": m.acknowledged_by or None,
            "assignee": m.assignee or None,
            "failed": m.failed,
            "late": m.late,
            "recovered": m.recovered,
            "at_risk": m.at_risk,
            "datasets": [{**asdict(d), "breaks_at": d.breaks_at or None} for d in m.datasets],
            "opened_at": m.opened_at or None,
            "resolved_at": m.resolved_at or None,
            "merged_into": m.merged_into,
            "url": m.link or None,
        },
        "rule": m.rule or None,
        "note": m.note or None,
    }


#: Events API v2 knows four words
_PAGERDUTY = {1: "critical", 2: "error", 3: "warning", 4: "info"}


def pagerduty(m: Message) -> dict[str, Any]:
    """An event of PagerDuty's Events API v2, without the routing key. One incident is one ``dedup_key``."""
    word = {"acknowledge": "acknowledge", "resolve": "resolve"}.get(m.event, "trigger")
    out: dict[str, Any] = {"event_action": word, "dedup_key": m.key[:255]}
    if word != "trigger":
        return out
    details = {label or "Note": said for label, said in rows(m)}
    if risks(m):
        details["Datasets at risk"] = "\n".join(risks(m))
    links = [{"href": m.link, "text": action(m)}] if m.link else []
    if safe_url(m.log_url):
        links.append({"href": m.log_url, "text": "Log of the run"})
    return out | {
        "payload": {
            "summary": f"{name(m)}: {m.title}"[:1024],
            "source": (m.root or "DLV")[:255],
            "severity": _PAGERDUTY[m.severity],
            "component": m.root_system or "DLV",
            "group": m.owner or "nobody",
            "class": m.root_kind or "incident",
            "custom_details": details,
            **({"timestamp": m.opened_at} if m.opened_at else {}),
        },
        "client": "DLV",
        **({"client_url": m.link} if m.link else {}),
        "links": links,
    }
