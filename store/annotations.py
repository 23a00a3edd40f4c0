"""What people write on nodes and edges."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from errors import Forbidden, Invalid, NotFound
from store import audit
from store.audit import Actor
from store.record import Conn

MAX_TEXT = 10_000


def of_node(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """Those on any alias of a node, the newest first."""
    return conn.execute(
        """select t.id, t.text, t.author, t.created_at, t.edited_at from annotation t
            where t.object_type = 'node' and t.deleted_at is null
              and t.object_id in (select id from alias where node_id = %s)
            order by t.created_at desc, t.id limit 500""",
        (node,),
    ).fetchall()


def of_edges(conn: Conn, edges: list[UUID]) -> list[dict[str, Any]]:
    """Those on any of these edges, the newest first."""
    return conn.execute(
        """select t.id, t.object_id as edge_id, t.text, t.author, t.created_at, t.edited_at from annotation t
            where t.object_type = 'edge' and t.deleted_at is null and t.object_id = any(%s)
            order by t.created_at desc, t.id limit 500""",
        (edges,),
    ).fetchall()


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    row = conn.execute("select * from annotation where id = %s and deleted_at is null", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no annotation has the id {id_}", field="id")
    return row


def write(conn: Conn, actor: Actor, object_type: str, object_id: UUID, text: str) -> dict[str, Any]:
    """Write on a node (``object_id`` is one of its aliases, so that a split gives it back) or an edge."""
    said = _text(text)
    row = conn.execute(
        """insert into annotation (id, object_type, object_id, text, author) values (%s, %s, %s, %s, %s)
           returning id, object_id, text, author, created_at, edited_at""",
        (uuid4(), object_type, object_id, said, actor.name),
    ).fetchone()
    assert row
    audit.write(
        conn, actor, "annotation.create", "annotation", str(row["id"]), None,
        {"object_type": object_type, "object_id": str(object_id), "text": said},
    )  # fmt: skip
    return row


def edit(conn: Conn, actor: Actor, id_: UUID, text: str, *, any_author: bool) -> dict[str, Any]:
    """Rewrite; one's own, or with ``any_author`` (an admin) everybody's."""
    said = _text(text)
    before = _own(get(conn, id_), actor, any_author)
    row = conn.execute(
        """update annotation set text = %s, edited_at = now() where id = %s
           returning id, object_id, text, author, created_at, edited_at""",
        (said, id_),
    ).fetchone()
    assert row
    audit.write(
        conn, actor, "annotation.edit", "annotation", str(id_), {"text": before["text"]}, {"text": said}
    )
    return row


def delete(conn: Conn, actor: Actor, id_: UUID, *, any_author: bool) -> None:
    before = _own(get(conn, id_), actor, any_author)
    conn.execute("update annotation set deleted_at = now() where id = %s", (id_,))
    audit.write(conn, actor, "annotation.delete", "annotation", str(id_), {"text": before["text"]}, None)


def _own(row: dict[str, Any], actor: Actor, any_author: bool) -> dict[str, Any]:
    if not any_author and row["author"] != actor.name:
        raise Forbidden("only its author or an admin may change an annotation")
    return row


def _text(text: object) -> str:
    said = text.strip() if isinstance(text, str) else ""
    if not said:
        raise Invalid("an annotation needs text", field="text")
    if len(said) > MAX_TEXT:
        raise Invalid(f"text is longer than {MAX_TEXT} characters", field="text", hint="link to a document")
    if "\x00" in said:
        raise Invalid("text holds a NUL character", field="text")
    return said
