"""The impact list as a file: CSV that no spreadsheet takes for formulas, or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import impact, nodes
from answers.status import iso
from store import audit
from store.audit import Actor

if TYPE_CHECKING:
    from answers.context import Dlv

FORMATS = ("csv", "json")
#: rows in one file
MAX_ROWS = 100_000
_COLUMNS = (
    "hop", "type", "kind", "system", "environment", "namespace", "name", "owner_name", "sla_kind", "sla_minutes",
    "criticality", "tags", "health", "health_reason", "health_since", "role", "last_seen", "id",
)  # fmt: skip


def impact_file(
    dlv: Dlv,
    actor: Actor,
    format_: str,
    id_: str | UUID,
    direction: str = "downstream",
    depth: int | None = None,
    filters: Mapping[str, Any] | None = None,
    as_of: datetime | None = None,
) -> tuple[str, str]:
    """(text, file name) of everything that `impact` lists, up to 100,000 rows, written to the audit log."""
    found = impact.whole(dlv, id_, direction, depth, filters, as_of, MAX_ROWS)
    node = found["node"]
    with dlv.record.tx() as conn:
        said = {
            "format": format_, "direction": direction, "depth": depth, "as_of": iso(as_of),
            "filters": {k: v for k, v in (filters or {}).items() if v}, "rows": len(found["items"]),
            "name": node["name"],
        }  # fmt: skip
        audit.write(conn, actor, "impact.export", "node", node["id"], None, said)
    name = f"{direction}-{_file_name(node['name'])}.{format_}"
    return (to_csv(found["items"]) if format_ == "csv" else to_json(found)), name


def canvas_file(dlv: Dlv, actor: Actor, format_: str, page: str, node: str | None, rows: int) -> None:
    """Write to the audit log that a browser made a file (png, svg) of a page's canvas with so many nodes."""
    name = nodes.get(dlv, node)["name"] if node else None
    with dlv.record.tx() as conn:
        said = {"format": format_, "page": page, "rows": rows, "name": name}
        audit.write(conn, actor, "canvas.export", "node" if node else "canvas", node or page, None, said)


def _file_name(text: str) -> str:
    return (
        "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text)[-80:].strip("._")
        or "node"
    )


def to_csv(items: list[dict[str, Any]]) -> str:
    """Rows as CSV (RFC 4180) with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for item in items:
        sla = item.get("sla") or {}
        flat = item | {
            "sla_kind": sla.get("kind"), "sla_minutes": sla.get("minutes"), "tags": ";".join(item.get("tags") or ()),
        }  # fmt: skip
        writer.writerow([cell(flat.get(c)) for c in _COLUMNS])
    return out.getvalue()


def cell(value: Any) -> str | int:
    """A value as spreadsheets may have it: what they would run as a formula begins with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠") else text


def to_json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, indent=1)
