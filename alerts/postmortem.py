"""What happened in an incident, as Markdown that people go on writing on. Pure, standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

#: members named in full, the others are counted
NAMED = 200
_ACTS = ("acknowledged", "assigned", "commented", "silenced", "notified")


def markdown(
    incident: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]], *, cut: bool = False, link: str = ""
) -> str:
    """``incident`` as `answers.incidents.get` gives it, ``timeline`` its lines, the last stored first. ``cut``: there are
    more. Names and messages are somebody else's text, so what Markdown would read in them is escaped."""
    lines = sorted(timeline, key=lambda e: (e["at"], e["id"]))
    told = next(
        (e["at"] for e in lines if e["kind"] == "notified" and (e["detail"] or {}).get("channels")), None
    )
    parts = [
        f"# {incident['name']}: {say(incident['title'])}",
        _facts(incident, told, link),
        "## Summary\n\n" + _summary(incident),
        "## Root cause\n\n" + _cause(incident),
        "## What it touched\n\n" + _impact(incident),
        "## Timeline\n\n" + _timeline(lines, cut),
        "## What went well\n\n-",
        "## What went wrong\n\n-",
        "## What we change\n\n| what | who | by when |\n|---|---|---|\n| | | |",
    ]
    said = [e for e in lines if e["kind"] == "commented"]
    if said:
        parts.insert(6, "## What people wrote\n\n" + "\n".join(_comment(e) for e in said))
    return "\n\n".join(parts) + "\n"


def say(text: object) -> str:
    """Somebody else's text on one line, with nothing in it that Markdown or a browser would read."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_\[\]<>|#~!&])", r"\\\1", line)


def _facts(i: Mapping[str, Any], told: str | None, link: str) -> str:
    opened, resolved = _at(i["opened_at"]), _at(i["resolved_at"])
    rows = [
        ("Status", i["status"] + (f", reopened {i['reopened']} times" if i["reopened"] else "")),
        ("Severity", f"{i['severity']}: {'; '.join(map(str, i['severity_why'])) or 'not computed'}"),
        ("Owner", i["owner_name"] or "nobody"),
        ("Assignee", i["assignee"] or "nobody"),
        ("Broke", _when(i["opened_at"])),
        ("Noticed", _since(i["noted_at"], opened)),
        ("People told", _since(told, opened)),
        ("Acknowledged", _since(i["acknowledged_at"], opened) + (f", {i['acknowledged_by']}" if i["acknowledged_by"] else "")),
        ("Good again", _since(i["resolved_at"], opened)),
    ]  # fmt: skip
    if opened and resolved:
        rows.append(("Lasted", human(resolved - opened)))
    if i["possibly_caused_by"]:
        c = i["possibly_caused_by"]
        rows.append(("Possibly caused by", f"{c['name']}: {c['title']}"))
    if link:
        rows.append(("In DLV", link))
    return "| | |\n|---|---|\n" + "\n".join(f"| {k} | {v if k == 'In DLV' else say(v)} |" for k, v in rows)


def _summary(i: Mapping[str, Any]) -> str:
    m, blast = i["members"], i["blast"] or {}
    root = i["root"]["name"] if i["root"] else (i["producer"] or {}).get("name", "")
    others = m["total"] - 1
    text = f"{say(root)} broke at {_when(i['opened_at'])}."
    if others > 0:
        text += f" {others} more {'node' if others == 1 else 'nodes'} failed or went late because of it."
    if blast:
        text += f" {blast['total']} lie below it in {len(blast['by_hop'])} hops."
    return text


def _cause(i: Mapping[str, Any]) -> str:
    if i["root"]:
        r = i["root"]
        text = f"{say(r['name'])} ({say(r['system'])} {say(r['kind'] or r['type'])}, {say(r['environment'])})"
    else:
        text = f"Producer {say((i['producer'] or {}).get('name', ''))}"
    if i["error"]:
        text += f"\n\n> {say(i['error'])}"
    if i["log_url"] and re.match(r"https?://[^\s<>()]+$", i["log_url"]):
        text += f"\n\nLog: <{i['log_url']}>"
    return text + "\n\nWhy it broke:"


def _impact(i: Mapping[str, Any]) -> str:
    members = [m for m in i["member_list"] if m["role"] != "root"]
    blast = i["blast"] or {}
    out = []
    if blast:
        hops = ", ".join(f"{h['n']} at hop {h['key']}" for h in blast["by_hop"])
        out.append(f"- Below it: {blast['total']}" + (f" ({hops})" if hops else ""))
        if blast["teams"]:
            out.append("- Teams: " + ", ".join(f"{say(t['name'])} ({t['n']})" for t in blast["teams"]))
        if blast["critical"]:
            names = ", ".join(f"{say(c['name'])} (criticality {c['criticality']})" for c in blast["critical"])
            out.append(f"- Critical: {names}")
        if blast["next_sla"]:
            out.append(f"- Next SLA: {say(blast['next_sla']['name'])} at {_when(blast['next_sla']['at'])}")
    else:
        out.append("- What lies below it was not known: the graph was away")
    if members:
        out += ["", "| node | owner | bad since | good again |", "|---|---|---|---|"]
        out += [
            f"| {say(m['name'])} | {say(m['owner_name'])} | {_when(m['joined_at'])} | {_when(m['recovered_at'])} |"
            for m in members[:NAMED]
        ]
        if len(members) > NAMED:
            out.append(f"\nand {len(members) - NAMED} more.")
    return "\n".join(out)


def _timeline(lines: Sequence[Mapping[str, Any]], cut: bool) -> str:
    head = "Earlier lines are left out.\n\n" if cut else ""
    rows = [
        f"| {_when(e['at'])} | {say(e['text'])}{_looks(e)} | {say(e['actor']) if e['kind'] in _ACTS else ''} |"
        for e in lines
    ]
    return head + "| when (UTC) | what | who |\n|---|---|---|\n" + "\n".join(rows)


def _looks(e: Mapping[str, Any]) -> str:
    """How long a check's result stayed."""
    return f" ({e['looks']} times until {_when(e['until'])})" if (e.get("looks") or 0) > 1 else ""


def _comment(e: Mapping[str, Any]) -> str:
    return f"- {_when(e['at'])}, {say(e['actor'])}: {say(e['text'])}"


def _at(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if text else None


def _when(text: str | None) -> str:
    at = _at(text)
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def _since(text: str | None, opened: datetime | None) -> str:
    at = _at(text)
    if at is None:
        return "not yet"
    return f"{_when(text)}" + (f", {human(at - opened)} after it broke" if opened and at > opened else "")


def human(span: timedelta) -> str:
    """'45 s', '12 min', '3 h 5 min', '2 days 4 h'."""
    seconds = int(span.total_seconds())
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"
