"""Which kinds of check fit a node, and through which connections: what a form offers first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from checks.kind import Kind
from checks.registry import KINDS
from connections.kinds import KINDS as WAYS
from store import connections, nodes
from store.record import Conn


def kinds_for(node: Mapping[str, Any] | None) -> list[tuple[Kind, bool]]:
    """All kinds that can speak of a node, each with whether it is made for the node's system, those first; every kind
    where no node is known yet."""
    if node is None:
        return [(k, False) for k in _sorted(KINDS.values())]
    fits = [k for k in _sorted(KINDS.values()) if node["type"] in k.types]
    return sorted(((k, node["system"] in k.systems) for k in fits), key=lambda x: not x[1])


def _sorted(kinds: Iterable[Kind]) -> list[Kind]:
    return sorted(kinds, key=lambda k: k.label.lower())


def ways(conn: Conn, kind: Kind, node: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The connections that a kind looks through ({id, name, kind, matches}), those that lead to the node's host first."""
    names = [(a["namespace"], a["name"]) for a in node["aliases"]] if node else []
    return _ways(kind, node, [w | {"matches": leads_to(w, names)} for w in _all(conn)])


def _ways(
    kind: Kind, node: Mapping[str, Any] | None, known: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    through = [w for w in known if kind.takes(w["kind"])]
    if node and "*" in kind.connections:  # those of the node's own system first
        through.sort(key=lambda w: w["kind"] not in WAYS or node["system"] not in WAYS[w["kind"]].systems)
    through.sort(key=lambda w: not w["matches"])
    return [{k: w[k] for k in ("id", "name", "kind", "matches")} for w in through]


def for_node(conn: Conn, node_id: UUID) -> list[dict[str, Any]]:
    """Per kind: the kind, ``fits`` (made for the node's system), ``connections`` ({id, name, kind, matches} that it looks
    through, those that lead to the node's own host first), and a ``name`` for a check."""
    node = nodes.get(conn, node_id)
    if node is None:
        return []
    names = [(a["namespace"], a["name"]) for a in node["aliases"]]
    known = [w | {"matches": leads_to(w, names)} for w in _all(conn)]
    out = []
    for kind, fits in kinds_for(node):
        name = f"{kind.label}: {leaf(node['name'])}"
        out.append({"kind": kind, "fits": fits, "connections": _ways(kind, node, known), "name": name})
    return out


def _all(conn: Conn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: tuple[str, UUID] | None = None
    while rows := connections.page(conn, limit=500, after=after):
        found += rows
        after = (rows[-1]["name"].lower(), rows[-1]["id"])
    return found


def leaf(name: str) -> str:
    """'shop.public.orders' as 'orders', a path by its last part."""
    return re.split(r"[./]", name.rstrip("/"))[-1].strip('"')[:80] or name[:80]


def leads_to(connection: Mapping[str, Any], names: Sequence[tuple[str, str]]) -> bool:
    """Whether a connection leads to the host, and where both say one the database, of any of a node's names."""
    places = set(_places(connection["fields"]))
    path = connection["fields"].get("path")
    database = str(connection["fields"].get("database") or "").lower()
    for namespace, name in names:
        if path and namespace.partition(":")[2].split("?")[0] == str(path).lower():
            return True
        host = urlsplit(namespace).netloc.lower() if "://" in namespace else ""
        if not host or not (host in places or host.split(":")[0] in places):
            continue
        above = name.split(".")[0].strip('"').lower() if "." in name else ""
        if not database or connection["kind"] == "mysql" or not above or above == database:
            return True
    return False


def _places(fields: Mapping[str, Any]) -> Iterable[str]:
    """host:port of everything that a connection's fields name, and the host alone where no port is said."""
    if fields.get("host"):
        yield f"{fields['host']}:{fields.get('port', '')}".lower().rstrip(":")
    for value in fields.values():
        if isinstance(value, str) and "://" in value:
            parts = urlsplit(value)
            yield parts.netloc.rpartition("@")[2].lower()
        elif isinstance(value, str) and re.fullmatch(r"[\w.\-]+:\d+(\s*,\s*[\w.\-]+:\d+)*", value):
            yield from (h.strip().lower() for h in value.split(","))
        elif isinstance(value, list):
            yield from (str(h).lower() for h in value)
