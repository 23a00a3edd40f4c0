"""Edges as people read and edit them: between nodes, each over one or more edges between aliases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from errors import Changed, Conflict, Invalid, NotFound
from ingest import ids
from store import audit, intervals, materialise
from store.audit import Actor
from store.record import Conn

Direction = Literal["downstream", "upstream"]


def _valid(at: datetime | None) -> str:
    """Condition on edge e: it holds now, or held at %(at)s."""
    when = (
        "i.valid_to is null"
        if at is None
        else "i.valid_from <= %(at)s and (i.valid_to is null or i.valid_to > %(at)s)"
    )
    return f"exists (select 1 from edge_interval i where i.edge_id = e.id and {when})"


def _step(direction: str, at: datetime | None) -> str:
    """near, far of every edge that leaves %(ids)s in a direction."""
    near, far = ("source", "target") if direction == "downstream" else ("target", "source")
    return f"""select distinct na.node_id as near, fa.node_id as far
                 from unnest(%(ids)s::uuid[]) w(id) join alias na on na.node_id = w.id
                 join edge e on e.{near} = na.id join alias fa on fa.id = e.{far}
                where {_valid(at)} and na.node_id <> fa.node_id"""


_MAPPED = "(n.retired_at is null or n.retired_at > %(at)s)"
_RANK = "n.health in ('failed', 'late') desc, n.criticality nulls last, n.last_seen desc, n.id"


def neighbours(
    conn: Conn, ids: Iterable[UUID], direction: str, at: datetime | None, shown: int, shown_bad: int
) -> list[dict[str, Any]]:
    """near, far, bad, n: of each node at most ``shown`` neighbours in a direction, failed and late ones first (of
    these up to ``shown_bad``), then the most critical, then the last seen; ``n`` is how many there are."""
    return conn.execute(
        f"""select * from (
              select s.near, s.far, n.health in ('failed', 'late') as bad,
                     row_number() over (partition by s.near order by {_RANK}) as rank,
                     count(*) over (partition by s.near) as n
                from ({_step(direction, at)}) s join node n on n.id = s.far
               where {_MAPPED}) r
             where rank <= %(shown)s or (bad and rank <= %(shown_bad)s)
             order by near, rank""",
        {"ids": list(ids), "at": at, "shown": shown, "shown_bad": shown_bad},
    ).fetchall()


def neighbour_ids(
    conn: Conn,
    node: UUID,
    direction: str,
    at: datetime | None,
    without: Iterable[UUID],
    limit: int,
    offset: int,
) -> tuple[list[UUID], int]:
    """(a page of the neighbours of one node in a direction, how many there are), but for ``without``; same order."""
    rows = conn.execute(
        f"""select n.id, count(*) over () as total
              from ({_step(direction, at)}) s join node n on n.id = s.far
             where {_MAPPED} and not n.id = any(%(without)s::uuid[])
             order by {_RANK} limit %(limit)s offset %(offset)s""",
        {"ids": [node], "at": at, "without": list(without), "limit": limit, "offset": offset},
    ).fetchall()
    return [r["id"] for r in rows], rows[0]["total"] if rows else 0


def beyond(conn: Conn, ids_: list[UUID], direction: str, at: datetime | None) -> dict[UUID, UUID]:
    """Of those that are stand-in jobs, the dataset on their other side."""
    standins = [r["id"] for r in conn.execute("select id from node where id = any(%s) and standin", (ids_,))]
    if not standins:
        return {}
    return {r["near"]: r["far"] for r in conn.execute(_step(direction, at), {"ids": standins, "at": at})}


def degrees(conn: Conn, ids: Iterable[UUID], at: datetime | None) -> dict[tuple[UUID, str], int]:
    """How many neighbours each node has, by (node, direction); 0 is left out."""
    out: dict[tuple[UUID, str], int] = {}
    for direction in ("downstream", "upstream"):
        for r in conn.execute(
            f"""select s.near, count(*) as n from ({_step(direction, at)}) s join node n on n.id = s.far
                 where {_MAPPED} group by s.near""",
            {"ids": list(ids), "at": at},
        ):
            out[r["near"], direction] = r["n"]
    return out


def induced(conn: Conn, ids: Iterable[UUID], at: datetime | None) -> list[dict[str, Any]]:
    """The edges among these nodes: source, target (nodes), ids (of the alias edges below it), provenance,
    first_seen, last_seen, version."""
    return conn.execute(
        f"""with w as materialized (select a.id, a.node_id from unnest(%(ids)s::uuid[]) w(id)
                                      join alias a on a.node_id = w.id)
            select s.node_id as source, t.node_id as target, array_agg(e.id order by e.id) as ids,
                   (select array_agg(distinct p order by p)
                      from edge x, unnest(x.provenance) p where x.id = any(array_agg(e.id))) as provenance,
                   min(e.first_seen) as first_seen, max(e.last_seen) as last_seen
              from w s join edge e on e.source = s.id join w t on t.id = e.target
             where {_valid(at)} and s.node_id <> t.node_id
             group by s.node_id, t.node_id
             order by s.node_id, t.node_id""",
        {"ids": list(ids), "at": at},
    ).fetchall()


def of_node(conn: Conn, node: UUID, limit: int = 200, offset: int = 0) -> list[dict[str, Any]]:
    """Edges at either end of a node, ended ones too, those that hold and were seen last first: id, source, target,
    source_name, target_name (nodes; beyond a stand-in job the dataset it stands for), standin, provenance,
    first_seen, last_seen, valid_from, valid_to, runs (how many prove it)."""
    return conn.execute(
        """select e.id, coalesce(sb.id, s.node_id) as source, coalesce(tb.id, t.node_id) as target,
                  coalesce(sb.name, sn.name) as source_name, coalesce(tb.name, tn.name) as target_name,
                  sn.standin or tn.standin as standin, e.provenance, e.first_seen, e.last_seen, e.version,
                  i.valid_from, i.valid_to,
                  (select count(*) from edge_run r where r.edge_id = e.id and r.provenance <> 'manual') as runs
             from (select x.* from edge x join alias a on a.id = x.source where a.node_id = %(node)s
                   union select x.* from edge x join alias a on a.id = x.target where a.node_id = %(node)s) e
             join alias s on s.id = e.source join alias t on t.id = e.target
             join node sn on sn.id = s.node_id join node tn on tn.id = t.node_id
             left join lateral (select b.id, b.name from edge f join alias x on x.id = f.target
                                  join alias y on y.id = f.source join node b on b.id = y.node_id
                                 where x.node_id = sn.id limit 1) sb on sn.standin
             left join lateral (select b.id, b.name from edge f join alias x on x.id = f.source
                                  join alias y on y.id = f.target join node b on b.id = y.node_id
                                 where x.node_id = tn.id limit 1) tb on tn.standin
             left join lateral (select valid_from, valid_to from edge_interval where edge_id = e.id
                                 order by valid_from desc limit 1) i on true
            order by i.valid_to desc nulls first, e.last_seen desc, e.id limit %(limit)s offset %(offset)s""",
        {"node": node, "limit": limit, "offset": offset},
    ).fetchall()


# ---------------------------------------------------------------- one edge, as people see it


def get(conn: Conn, id_: UUID) -> dict[str, Any] | None:
    """The edge between two nodes that an id leads to: its own, that of a half, or of the stand-in job between.

    id, ids (every alias edge below it), source, target (nodes), source_name, target_name, standin (the job's node id
    or None), provenance, first_seen, last_seen, holds, retired_at, version (counts human edits).
    """
    found = conn.execute(
        """select e.id, s.node_id as source, t.node_id as target, sn.standin as from_standin, tn.standin as to_standin
             from edge e join alias s on s.id = e.source join alias t on t.id = e.target
             join node sn on sn.id = s.node_id join node tn on tn.id = t.node_id
            where e.id = %(id)s
               or ((s.node_id = %(id)s and sn.standin) or (t.node_id = %(id)s and tn.standin))
            order by tn.standin desc limit 1""",
        {"id": id_},
    ).fetchone()
    if found is None:
        return None
    standin = found["target"] if found["to_standin"] else found["source"] if found["from_standin"] else None
    pair = "%(s)s in (s.node_id, t.node_id)" if standin else "s.node_id = %(a)s and t.node_id = %(b)s"
    rows = conn.execute(
        f"""select e.*, s.node_id as source_node, t.node_id as target_node, sn.name as source_name,
                   tn.name as target_name, sn.standin as after_standin,
                   {_valid(None)} as holds
              from edge e join alias s on s.id = e.source join alias t on t.id = e.target
              join node sn on sn.id = s.node_id join node tn on tn.id = t.node_id
             where {pair} order by after_standin, e.id""",
        {"s": standin, "a": found["source"], "b": found["target"]},
    ).fetchall()
    first, last = rows[0], rows[-1]
    return {
        "id": first["id"],
        "ids": [r["id"] for r in rows],
        "source": first["source_node"],
        "target": last["target_node"],
        "source_name": first["source_name"],
        "target_name": last["target_name"],
        "standin": standin,
        "provenance": sorted({p for r in rows for p in r["provenance"]}),
        "first_seen": min(r["first_seen"] for r in rows),
        "last_seen": max(r["last_seen"] for r in rows),
        "holds": all(r["holds"] for r in rows) if standin else any(r["holds"] for r in rows),
        "retired_at": max((r["retired_at"] for r in rows if r["retired_at"]), default=None),
        "version": max(r["version"] for r in rows),
    }


def intervals_of(conn: Conn, ids: list[UUID]) -> list[dict[str, Any]]:
    """From when to when these edges held, the newest first."""
    return conn.execute(
        """select distinct valid_from, last_seen, valid_to from edge_interval where edge_id = any(%s)
            order by valid_from desc limit 200""",
        (ids,),
    ).fetchall()


def proofs(conn: Conn, ids: list[UUID], limit: int = 20) -> list[dict[str, Any]]:
    """The newest that prove these edges: run_id, state, job (node) and how it was told; by hand there is no run."""
    return conn.execute(
        """select p.provenance, p.first_at, p.last_at, r.run_id, r.state, r.log_url, a.node_id as job,
                  n.name as job_name
             from edge_run p left join run_key k on k.key = p.run_key
             left join run r on r.day = k.day and r.key = k.key
             left join alias a on a.id = r.job_alias left join node n on n.id = a.node_id
            where p.edge_id = any(%s) order by p.last_at desc, p.run_key limit %s""",
        (ids, limit),
    ).fetchall()


# ---------------------------------------------------------------- drawn and ended by hand


def create(conn: Conn, actor: Actor, source: UUID, target: UUID) -> dict[str, Any]:
    """Draw an edge by hand between two nodes.

    Dataset → job and job → dataset are edges; between two datasets a stand-in job is put. :class:`errors.Invalid`
    for two jobs or one node with itself, :class:`errors.Conflict` where the edge holds already.
    """
    ends = {r["id"]: r for r in conn.execute("select * from node where id = any(%s)", ([source, target],))}
    for field, id_ in (("source", source), ("target", target)):
        if id_ not in ends:
            raise Invalid(f"no node has the id {id_}", field=field, hint="search for it by name")
        if ends[id_]["retired_at"]:
            raise Invalid(f"{ends[id_]['name']} is retired", field=field, hint="bring the node back first")
    if source == target:
        raise Invalid("an edge needs two different nodes", field="target", hint="choose another target")
    a, b = ends[source], ends[target]
    if a["type"] == b["type"] == "job":
        raise Invalid(
            "two jobs are not joined by an edge", field="target", hint="draw one to the dataset between them"
        )
    if a["type"] == b["type"]:
        between = _between(conn, source, target)
        if between:
            raise Conflict(f"{between} leads from {a['name']} to {b['name']} already", field="target")
        job = _standin(conn, a, source, target)
        pairs = [(source, job), (job, target)]
    else:
        pairs = [(source, target)]
        if _holds(conn, source, target):
            raise Conflict(f"{a['name']} leads to {b['name']} already", field="target")
    drawn = [_draw(conn, s, t) for s, t in pairs]
    intervals.recompute(conn, set(drawn))
    if len(pairs) == 2:
        materialise.refresh(conn, [job])
    edge = get(conn, drawn[0])
    assert edge
    said = {"source": str(source), "target": str(target), "source_name": a["name"], "target_name": b["name"]}
    audit.write(conn, actor, "edge.create", "edge", edge["id"], None, said)
    return edge


def _between(conn: Conn, source: UUID, target: UUID) -> str | None:
    """Name of a job, or 'an edge' for a stand-in, that leads from one dataset to another now."""
    row = conn.execute(
        f"""select n.name, n.standin from edge e join alias s on s.id = e.source join alias j on j.id = e.target
              join node n on n.id = j.node_id and n.retired_at is null
             where s.node_id = %(a)s and {_valid(None)}
               and exists (select 1 from edge f join alias x on x.id = f.source join alias t on t.id = f.target
                            where x.node_id = n.id and t.node_id = %(b)s and {_valid(None).replace("e.id", "f.id")})
             order by n.standin, n.name limit 1""",
        {"a": source, "b": target},
    ).fetchone()
    return None if row is None else "an edge" if row["standin"] else f"the job {row['name']}"


def _holds(conn: Conn, source: UUID, target: UUID) -> bool:
    return any(e["source"] == source and e["target"] == target for e in induced(conn, [source, target], None))


def _standin(conn: Conn, node: dict[str, Any], source: UUID, target: UUID) -> UUID:
    """The alias of the stand-in job between two datasets, made if it is not there."""
    name = ids.standin_name(source, target)
    job = ids.alias_id(node["environment"], ids.STANDIN_NAMESPACE, name, "job")
    conn.execute(
        """insert into alias (id, environment, namespace, name, type, kind, system, node_id, first_seen, last_seen)
           values (%(id)s, %(env)s, %(ns)s, %(name)s, 'job', 'standin', 'dlv', %(id)s, now(), now())
           on conflict (id) do update set last_seen = now()""",
        {"id": job, "env": node["environment"], "ns": ids.STANDIN_NAMESPACE, "name": name},
    )
    return job


def _draw(conn: Conn, source: UUID, target: UUID) -> UUID:
    edge = ids.edge_id(source, target)
    conn.execute(
        """insert into edge (id, source, target, provenance, first_seen, last_seen)
           values (%s, %s, %s, '{manual}', now(), now())
           on conflict (id) do update set last_seen = greatest(edge.last_seen, now()), version = edge.version + 1,
             provenance = (select array_agg(distinct p order by p) from unnest(edge.provenance || '{manual}'::text[]) p)""",
        (edge, source, target),
    )
    # drawn again after it was retired: a proof of its own, so that the life before keeps its own
    conn.execute(
        """insert into edge_run (edge_id, run_key, provenance, first_at, last_at)
           select %(e)s, case when exists (select 1 from edge_run where edge_id = %(e)s and run_key = %(e)s)
                              then gen_random_uuid() else %(e)s end, 'manual', now(), now()""",
        {"e": edge},
    )
    return edge


def retire(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """End an edge here; a stand-in's two halves together. A later sighting opens it again."""
    edge = _locked(conn, id_, version, {"retired": True})
    if not edge["holds"]:
        return edge
    for one in edge["ids"]:
        conn.execute(
            "insert into edge_retirement (edge_id, at, by) values (%s, now(), %s)", (one, actor.name)
        )
    conn.execute("update edge set version = version + 1 where id = any(%s)", (edge["ids"],))
    intervals.recompute(conn, set(edge["ids"]))
    return _changed(conn, actor, "edge.retire", edge)


def unretire(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """Take the newest retirement back: the edge held all the time."""
    edge = _locked(conn, id_, version, {"retired": False})
    if edge["holds"] or not edge["retired_at"]:
        return edge
    conn.execute(
        """delete from edge_retirement r where edge_id = any(%s)
              and at = (select max(at) from edge_retirement x where x.edge_id = r.edge_id)""",
        (edge["ids"],),
    )
    conn.execute("update edge set version = version + 1 where id = any(%s)", (edge["ids"],))
    # without an end the interval is rewritten from the edge's own first and last sighting
    conn.execute("delete from edge_interval where edge_id = any(%s)", (edge["ids"],))
    intervals.recompute(conn, set(edge["ids"]))
    return _changed(conn, actor, "edge.unretire", edge)


def _locked(conn: Conn, id_: UUID, version: int | None, yours: dict[str, Any]) -> dict[str, Any]:
    edge = get(conn, id_)
    if edge is None:
        raise NotFound(f"no edge has the id {id_}", field="id")
    conn.execute("select 1 from edge where id = any(%s) order by id for update", (edge["ids"],))
    edge = get(conn, id_)
    assert edge
    if version is not None and version != edge["version"]:
        theirs = {"retired": not edge["holds"]}
        raise Changed(
            "somebody else changed this edge",
            changes={k: {"yours": v, "theirs": theirs[k]} for k, v in yours.items()},
            version=edge["version"],
            hint="look at what changed and try again",
        )
    return edge


def _changed(conn: Conn, actor: Actor, action: str, before: dict[str, Any]) -> dict[str, Any]:
    after = get(conn, before["id"])
    assert after
    names = {k: before[k] for k in ("source_name", "target_name")}
    audit.write(
        conn, actor, action, "edge", before["id"],
        names | {"holds": before["holds"]}, names | {"holds": after["holds"]},
    )  # fmt: skip
    return after


def cover(conn: Conn, opened: Iterable[UUID]) -> set[UUID]:
    """Retire the stand-ins whose pair an observed job covers now, looking from the edges just opened; returns the
    stand-ins' edges."""
    if not conn.execute(
        "select 1 from alias where namespace = %s limit 1", (ids.STANDIN_NAMESPACE,)
    ).fetchone():
        return set()
    rows = conn.execute(
        f"""with j as (select distinct a.node_id as job from edge e join alias a on a.id in (e.source, e.target)
                         join node n on n.id = a.node_id and n.type = 'job' and not n.standin
                        where e.id = any(%(opened)s)),
                 reads as (select distinct s.node_id as dataset, j.job from j join alias ja on ja.node_id = j.job
                             join edge e on e.target = ja.id join alias s on s.id = e.source where {_valid(None)}),
                 writes as (select distinct t.node_id as dataset, j.job from j join alias ja on ja.node_id = j.job
                              join edge e on e.source = ja.id join alias t on t.id = e.target where {_valid(None)})
            select first.id as a, second.id as b, min(n.name) as by
              from reads r join writes w on w.job = r.job and w.dataset <> r.dataset join node n on n.id = r.job
              join alias sa on sa.node_id = r.dataset join edge first on first.source = sa.id
              join alias x on x.id = first.target and x.namespace = %(ns)s
              join edge second on second.source = x.id
              join alias ta on ta.id = second.target and ta.node_id = w.dataset
             where {_valid(None).replace("e.id", "first.id")}
             group by 1, 2""",
        {"opened": list(opened), "ns": ids.STANDIN_NAMESPACE},
    ).fetchall()
    covered = {(half, r["by"]) for r in rows for half in (r["a"], r["b"])}
    for edge, by in sorted(covered):
        conn.execute(
            "insert into edge_retirement (edge_id, at, by) values (%s, now(), %s) on conflict do nothing",
            (edge, by),
        )
    halves = {edge for edge, _ in covered}
    intervals.recompute(conn, halves)
    return halves
