"""The record as plain data without what depends on arrival: equal exports mean equal folds."""

from __future__ import annotations

from typing import Any

from store.record import Record

#: what is left out: ids from sequences, when DLV noticed, and the history that a different order tells differently
QUERIES = {
    "alias": "select id, environment, namespace, name, type, kind, kind_rank, system, node_id, parent_id, parent_at, "
    "unresolved, first_seen, last_seen from alias",
    "sent": "select namespace, name, type, alias_id from alias_sent",
    "evidence": "select a, b, kind, source, created_at from evidence",
    "drop": "select * from dataset_drop",
    "field": "select * from alias_field",
    "node": "select id, type, kind, system, environment, namespace, name, parent_id, owner_name, tags, description, "
    "health, health_reason, health_since, health_run, made_at, running, first_seen, last_seen, dropped_at from node",
    "edge": "select id, source, target, provenance, first_seen, last_seen, retired_at from edge",
    "interval": "select * from edge_interval",
    "proof": "select * from edge_run",
    "column": "select * from column_edge",
    "schema": "select * from schema_version",
    "facet": "select * from alias_facet",
    "assertion": "select * from assertion",
    "warning": "select alias_id, path, message, first_at, last_at from event_warning",
    "run": "select key, job_alias, run_id, state, state_at, state_hash, started_at, ended_at, due_at, nominal_start, "
    "nominal_end, first_event_at, last_event_at, trigger, try_number, max_tries, sub, streaming, parent_job, "
    "parent_run_id, error, error_detail, log_url, detail from run",
}


#: nodes whose rows tell something else of their aliases than these do
OTHERWISE = """
select n.id, n.name, n.aliases, n.unresolved, n.sources, a.aliases as aliases_now, a.unresolved as unresolved_now,
       coalesce(f.sources, '{}') as sources_now
  from node n
  left join lateral (
    select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'environment', a.environment, 'namespace', a.namespace,
                                                 'name', a.name) order by a.id), '[]') as aliases,
           string_agg(a.unresolved, '; ' order by a.id) as unresolved
      from alias a where a.node_id = n.id) a on true
  left join lateral (
    select jsonb_object_agg(s.field, s.source) as sources
      from (select distinct on (af.field) af.field, af.source
              from alias a join alias_field af on af.alias_id = a.id
             where a.node_id = n.id
             order by af.field, array_position(array['manual','file','pattern','event'], af.source)) s) f on true
 where (n.aliases, n.unresolved, n.sources) is distinct from (a.aliases, a.unresolved, coalesce(f.sources, '{}'))"""


def told_otherwise(record: Record) -> list[dict[str, Any]]:
    """Nodes that keep something else of their aliases than these say; there may be none."""
    return record.all(OTHERWISE)


def export(record: Record) -> dict[str, list[str]]:
    """Every table of the record as sorted lines."""
    assert not (wrong := told_otherwise(record)), wrong[:3]
    out: dict[str, list[str]] = {}
    with record.tx() as conn:
        for table, query in QUERIES.items():
            rows: list[dict[str, Any]] = conn.execute(query).fetchall()  # type: ignore[call-overload]
            out[table] = sorted(repr(sorted(r.items())) for r in rows)
    return out


def difference(a: dict[str, list[str]], b: dict[str, list[str]]) -> str:
    """The first lines that differ, for the failure's message."""
    lines = []
    for table in a:
        only_a, only_b = sorted(set(a[table]) - set(b[table])), sorted(set(b[table]) - set(a[table]))
        for sign, only in (("-", only_a), ("+", only_b)):
            lines += [f"{sign} {table} {line[:600]}" for line in only[:3]]
    return "\n".join(lines)
