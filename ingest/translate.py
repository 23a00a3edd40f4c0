"""One event → the facts it states. Pure: rules are handed in, nothing is read or written. The event's text is safe to
store: ingest.openlineage has seen to that.

What a producer gets wrong is corrected here from the SQL it sends along: a CTE that it reports as a table is not a
table, and a table inside a CTE that it missed is read after all (provenance ``sql``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from ingest import ids, naming, sql
from ingest.events import TERMINAL, DatasetSaid, Event
from ingest.facts import (
    AliasSeen,
    AssertionSeen,
    ColumnSeen,
    Dropped,
    EdgeSeen,
    FacetSeen,
    Facts,
    FieldSeen,
    Joined,
    RunFact,
    SchemaSeen,
    Sent,
    Warned,
)

#: facets that have tables of their own, or say nothing that lasts
OWN_TABLE = {"schema", "columnLineage", "symlinks", "dataQualityAssertions", "errorMessage", "parent"}
MAX_FACET_BYTES = 64 * 1024
MAX_TEXT = 16_000
#: bytes of a schema facet's fields that are remembered with what they were read as
MOST_REMEMBERED = 8 * 1024

_KEPT_RUN_FACETS = ("processing_engine", "externalQuery", "tags", "dbt_run", "dbt_version")


@dataclass(frozen=True)
class Source:
    """Who sent an event: the producer's row."""

    id: int
    name: str
    environment: str | None = None


@dataclass
class _Dataset:
    """A dataset of the event at hand, as read."""

    alias: UUID
    said: DatasetSaid
    dropped: bool
    provenance: str = "openlineage"


def translate(event: Event, source: Source, rules: naming.Rules, into: Facts | None = None) -> Facts:
    """The facts of one event, added to ``into`` where given."""
    facts = into if into is not None else Facts()
    if event.dataset is not None:
        read = _dataset(facts, event.dataset, event, source, rules)
        _warn(facts, event, source, read.alias if read else None)
        return facts
    if event.job is None:
        _warn(facts, event, source, None)
        return facts

    job = naming.job(
        event.job.namespace, event.job.name, event.job.facets, event.run_facets, rules, source.environment
    )
    if job is None:
        return facts
    said = _sql_of(event, job.system)
    inputs = [d for i in event.inputs if (d := _dataset(facts, i, event, source, rules, said)) is not None]
    if job.is_test:
        # a dbt test is an assertion on what it reads, not a node; what it writes is an audit table
        _assertions_of_test(facts, event, inputs)
        _warn(facts, event, source, inputs[0].alias if inputs else None, inputs)
        return facts
    outputs = [d for o in event.outputs if (d := _dataset(facts, o, event, source, rules, said)) is not None]

    alias = _job_alias(facts, event, source, job, rules)
    run = _run(event, source, job, alias)
    if run:
        facts.add_run(run)
    proof = run.key if run else ids.run_key(alias, "")
    inputs += _missed(facts, event, source, rules, said, inputs, outputs)
    provenance = "dbt" if job.system == "dbt" else "openlineage"
    for d in inputs:
        how = d.provenance if d.provenance == "sql" else provenance
        if not d.dropped:
            facts.edges.append(EdgeSeen(d.alias, alias, proof, how, event.at))
    for d in outputs:
        if not d.dropped:
            facts.edges.append(EdgeSeen(alias, d.alias, proof, provenance, event.at))
        _columns(facts, event, source, rules, said, alias, d, inputs)
    _facets(facts, alias, event.job.facets, event.at)
    _fields(facts, alias, event.job.facets, source, event.at)
    _warn(facts, event, source, alias, [*inputs, *outputs])
    return facts


# ---------------------------------------------------------------- names


def _dataset(
    facts: Facts,
    said: DatasetSaid,
    event: Event,
    source: Source,
    rules: naming.Rules,
    known: sql.SqlSaid | None = None,
) -> _Dataset | None:
    if known is not None and _is_cte(said.name, known):
        return None
    named = naming.dataset(said.namespace, said.name, said.facets, rules, source.name)
    if named is None:
        return None
    alias = _alias_of(facts, named, event.at)
    facts.sent.add(Sent(said.namespace, said.name, "dataset", source.id, alias))
    for namespace, name, _type in named.symlinks:
        other = naming.dataset(namespace, name, {}, rules, source.name)
        if other is None:
            continue
        other_alias = _alias_of(facts, other, event.at)
        facts.sent.add(Sent(namespace, name, "dataset", source.id, other_alias))
        _join(facts, alias, other_alias, "symlink", source.name, event.at)
    dropped = _lifecycle(facts, said, alias, event, source, rules)
    _schema(facts, alias, said.facets.get("schema"), event.at)
    _assertions(facts, alias, said.facets.get("dataQualityAssertions"), event, None)
    _facets(facts, alias, said.facets, event.at)
    _fields(facts, alias, said.facets, source, event.at)
    return _Dataset(alias, said, dropped)


def _alias_of(facts: Facts, named: naming.Named, at: datetime) -> UUID:
    alias = ids.alias_id(named.environment, named.namespace, named.name, "dataset")
    facts.aliases.append(
        AliasSeen(
            alias, named.environment, named.namespace, named.name, "dataset", named.kind, named.kind_rank,
            named.system, at, None, named.unresolved,
        )
    )  # fmt: skip
    return alias


def _join(facts: Facts, a: UUID, b: UUID, kind: str, by: str, at: datetime) -> None:
    if a != b:
        facts.joined.append(Joined(min(a, b), max(a, b), kind, by, at))


def _job_alias(facts: Facts, event: Event, source: Source, job: naming.NamedJob, rules: naming.Rules) -> UUID:
    assert event.job is not None
    alias = ids.alias_id(job.environment, job.namespace, job.name, "job")
    parent = None
    if job.parent is not None and (job.parent[0], job.parent[1]) != (job.namespace, job.name):
        where = job.parent_environment or job.environment
        parent = ids.alias_id(where, job.parent[0], job.parent[1], "job")
        # of another tool's job only the name is known here; its own events say the rest and outrank this
        kind, rank, system = (
            (job.parent_kind, 1, job.system) if job.parent_kind != "job" else ("job", -1, "unknown")
        )
        facts.aliases.append(
            AliasSeen(parent, where, job.parent[0], job.parent[1], "job", kind, rank, system, event.at)
        )
    facts.aliases.append(
        AliasSeen(
            alias, job.environment, job.namespace, job.name, "job", job.kind, job.kind_rank, job.system, event.at,
            parent,
        )
    )  # fmt: skip
    facts.sent.add(Sent(event.job.namespace, event.job.name, "job", source.id, alias))
    for namespace, name in job.same_as:
        # the node is shown by its canonical name: the others rank below it
        other = ids.alias_id(job.environment, namespace, name, "job")
        if other != alias:
            facts.aliases.append(
                AliasSeen(
                    other,
                    job.environment,
                    namespace,
                    name,
                    "job",
                    job.kind,
                    -1,
                    job.system,
                    event.at,
                    parent,
                )
            )
            _join(facts, alias, other, "naming", "same job by its tool's naming", event.at)
    return alias


# ---------------------------------------------------------------- what SQL corrects


def _sql_of(event: Event, system: str) -> sql.SqlSaid | None:
    facet = event.job.facets.get("sql") if event.job else None
    query = facet.get("query") if isinstance(facet, dict) else None
    if not isinstance(query, str) or not query.strip():
        return None
    stated = facet.get("dialect") if isinstance(facet, dict) else None
    dialect = stated if isinstance(stated, str) else None
    if dialect is None:
        for d in (*event.outputs, *event.inputs):
            dialect = sql.dialect_of(d.namespace.split(":", 1)[0])
            if dialect:
                break
        else:
            dialect = sql.dialect_of(system)
    said = sql.read(query, dialect)
    return said if said.parsed else None


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1].strip('"`[]').casefold()


def _is_cte(name: str, said: sql.SqlSaid) -> bool:
    """True where a producer reports a CTE as a table: the query defines the name and reads no table that bears it."""
    last = _last(name)
    real = {_last(t) for t in (*said.inputs, *said.outputs)}
    return last in {c.casefold() for c in said.ctes} and last not in real


def _missed(
    facts: Facts,
    event: Event,
    source: Source,
    rules: naming.Rules,
    said: sql.SqlSaid | None,
    inputs: list[_Dataset],
    outputs: list[_Dataset],
) -> list[_Dataset]:
    """Tables that the SQL reads and the producer did not report, named in the namespace of those it did.

    Only a name that needs no guess is taken: with as many parts as its neighbours, or lacking just the database.
    """
    if said is None or not (inputs or outputs) or (event.state == "FAIL" and not outputs):
        # a FAIL often leaves its outputs out: the table it writes would then be taken for one it reads
        return []
    like = (outputs or inputs)[0].said
    parts = like.name.split(".")
    known = {_tail(d.said.name) for d in (*inputs, *outputs)}
    found: list[_Dataset] = []
    for table in sorted(said.inputs):
        mine = table.split(".")
        if any(_tail(table)[-min(len(mine), len(k)) :] == k[-min(len(mine), len(k)) :] for k in known):
            continue
        if len(mine) == len(parts):
            full = table
        elif len(mine) == 2 and len(parts) == 3:
            full = f"{parts[0]}.{table}"
        else:
            continue
        read = _dataset(facts, DatasetSaid(like.namespace, full), event, source, rules)
        if read is not None:
            read.provenance = "sql"
            found.append(read)
    return found


def _tail(name: str) -> tuple[str, ...]:
    return tuple(p.strip('"`[]').casefold() for p in name.split("."))


# ---------------------------------------------------------------- runs


def _run(event: Event, source: Source, job: naming.NamedJob, alias: UUID) -> RunFact | None:
    if event.run_id is None:
        return None
    state = event.state or "OTHER"
    # Spark's listener says what went wrong in a facet of its own
    error, detail_text = _error(
        event.run_facets.get("errorMessage") or event.run_facets.get("spark.exception")
    )
    start, end = job.nominal
    parent = event.run_facets.get("parent")
    parent_run = (parent.get("run") or {}).get("runId") if isinstance(parent, dict) else None
    parent_alias = (
        ids.alias_id(job.parent_environment or job.environment, job.parent[0], job.parent[1], "job")
        if job.parent
        else None
    )
    return RunFact(
        key=ids.run_key(alias, event.run_id),
        job=alias,
        run_id=event.run_id,
        state=state,
        state_at=event.at,
        state_hash=event.hash,
        first_event_at=event.at,
        last_event_at=event.at,
        producer=source.id,
        started_at=event.at if state == "START" else None,
        ended_at=event.at if state in TERMINAL else None,
        nominal_start=start,
        nominal_end=end,
        trigger=job.trigger,
        try_number=job.try_number,
        max_tries=job.max_tries,
        sub=job.sub,
        streaming=job.streaming,
        parent_job=parent_alias,
        parent_run_id=str(parent_run) if parent_run else None,
        error=error,
        error_detail=detail_text,
        log_url=job.log_url,
        detail=_run_detail(event),
    )


def _error(facet: Any) -> tuple[str | None, str | None]:
    if not isinstance(facet, dict) or not isinstance(facet.get("message"), str):
        return None, None
    message = facet["message"].strip()
    first = next((line.strip() for line in message.splitlines() if line.strip()), "failed")
    stack = facet.get("stackTrace")
    whole = message + ("\n\n" + stack if isinstance(stack, str) else "")
    return first[:500], whole[:MAX_TEXT]


def _run_detail(event: Event) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in _KEPT_RUN_FACETS:
        facet = event.run_facets.get(name)
        if isinstance(facet, dict):
            out[name] = {k: v for k, v in facet.items() if not k.startswith("_")}
    rows: dict[str, Any] = {}
    for d in event.outputs:
        stats = d.facets.get("outputStatistics")
        if isinstance(stats, dict):
            rows[d.name] = {k: v for k, v in stats.items() if not k.startswith("_")}
    if rows:
        out["written"] = rows
    application = _dict(event.run_facets.get("spark_applicationDetails")).get("applicationId")
    if isinstance(application, str) and application.strip():
        out["application_id"] = application.strip()[:200]
    airflow = naming.airflow_facet(event.run_facets)
    if airflow:
        part = _dict(airflow.get("taskInstance")).get("map_index")
        if isinstance(part, int) and part >= 0:
            out["map_index"] = part
        schedule = _schedule(_dict(airflow.get("dag")))
        if schedule:
            out["schedule"] = schedule
    return out


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _schedule(dag: dict[str, Any]) -> dict[str, Any] | None:
    """When a DAG runs, where it says so: {"cron", "zone"} or {"seconds"}; None where it is triggered or unknown."""
    timetable = _dict(dag.get("timetable"))
    cron, every = timetable.get("expression"), timetable.get("delta")
    if isinstance(cron, str) and cron.strip():
        zone = timetable.get("timezone")
        return {"cron": cron.strip()[:100], "zone": zone[:60] if isinstance(zone, str) else "UTC"}
    if isinstance(every, int | float) and not isinstance(every, bool) and every >= 1:
        return {"seconds": float(every)}
    return None


# ---------------------------------------------------------------- facets


def _text(value: Any) -> bytes:
    """Canonical JSON: the same value is the same text, whatever order its keys came in."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits
        return json.dumps(value, sort_keys=True).encode()


def _hash(value: Any) -> bytes:
    return hashlib.sha256(_text(value)).digest()[:16]


def _facets(facts: Facts, alias: UUID, facets: dict[str, Any], at: datetime) -> None:
    for name, body in facets.items():
        if name in OWN_TABLE or not isinstance(body, dict):
            continue
        kept: dict[str, Any] | None = {k: v for k, v in body.items() if k not in ("_producer", "_schemaURL")}
        text = _text(kept)
        if body.get("_deleted") is True:
            kept, text = None, b"deleted"
        elif len(text) > MAX_FACET_BYTES:
            kept, text = {"_too_large": True}, b"too large"
        facts.facets.append(FacetSeen(alias, name[:200], at, hashlib.sha256(text).digest()[:16], kept))


def _fields(facts: Facts, alias: UUID, facets: dict[str, Any], source: Source, at: datetime) -> None:
    owners = _list(facets.get("ownership"), "owners")
    names = sorted(str(o["name"]) for o in owners if isinstance(o, dict) and o.get("name"))
    # Airflow's default owner names the scheduler, not a person
    names = [n for n in names if n not in ("airflow", "***")]
    if names:
        facts.fields.append(FieldSeen(alias, "owner", names[0].removeprefix("team:"), source.name, at))
    doc = facets.get("documentation")
    text = doc.get("description") if isinstance(doc, dict) else None
    if isinstance(text, str) and text.strip():
        facts.fields.append(FieldSeen(alias, "description", text.strip()[:4000], source.name, at))
    tags = sorted({t for t in (_tag(x) for x in _list(facets.get("tags"), "tags")) if t})
    if tags:
        facts.fields.append(FieldSeen(alias, "tags", tags, source.name, at))


def _tag(tag: Any) -> str | None:
    if isinstance(tag, str):
        return tag[:100]
    if not isinstance(tag, dict) or not tag.get("key"):
        return None
    if tag.get("source") == "OPENLINEAGE_CLIENT" or str(tag["key"]).startswith("openlineage_"):
        return None
    value = str(tag.get("value", ""))
    return (str(tag["key"]) if value.lower() in ("", "true") else f"{tag['key']}:{value}")[:100]


def _list(facet: Any, key: str) -> list[Any]:
    value = facet.get(key) if isinstance(facet, dict) else None
    return value if isinstance(value, list) else []


def _schema(facts: Facts, alias: UUID, facet: Any, at: datetime) -> None:
    said = _list(facet, "fields")
    if not said:
        return
    text = _text(said)
    # a table's columns are told again at each run, and seldom changed
    hash_, fields = _columns_of(text) if len(text) <= MOST_REMEMBERED else _columns_of.__wrapped__(text)
    if fields:
        facts.schemas.append(SchemaSeen(alias, hash_, fields, at))


@lru_cache(maxsize=2048)
def _columns_of(said: bytes) -> tuple[bytes, str]:
    """(hash, JSON) of the columns in a schema facet's fields; empty JSON where it names none."""
    fields = [_column_of(f) for f in orjson.loads(said) if isinstance(f, dict) and f.get("name")]
    text = _text(fields)
    return hashlib.sha256(text).digest()[:16], text.decode() if fields else ""


def _column_of(f: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"name": str(f["name"]), "type": str(f.get("type") or "")}
    if f.get("description"):
        out["description"] = str(f["description"])[:1000]
    nested = [_column_of(n) for n in _list(f, "fields") if isinstance(n, dict) and n.get("name")]
    if nested:
        out["fields"] = nested
    return out


def _assertions(facts: Facts, alias: UUID, facet: Any, event: Event, run: UUID | None) -> None:
    if event.state == "ABORT":
        return
    for a in _list(facet, "assertions"):
        if not isinstance(a, dict) or not isinstance(a.get("success"), bool):
            continue
        if not a["success"] and "actual" not in a and event.job and "dbt_node" in event.job.facets:
            # dbt-ol reports a test that was skipped, because what it tests failed, as not passed and without a count
            continue
        name = str(a.get("name") or a.get("assertion") or "assertion")[:300]
        severity = "warn" if str(a.get("severity", "error")).lower() in ("warn", "warning") else "error"
        column = str(a.get("column") or "")[:300]
        facts.assertions.append(
            AssertionSeen(
                alias, name, column, severity, a["success"], _counts(a), event.at,
                _hash([a["success"], severity]) + event.hash[:8], run,
            )
        )  # fmt: skip


def _counts(a: dict[str, Any]) -> str:
    if a.get("success") or a.get("actual") is None:
        return ""
    return f"expected {a.get('expected', '?')}, got {a['actual']}"[:200]


def _assertions_of_test(facts: Facts, event: Event, inputs: list[_Dataset]) -> None:
    """TestRunFacet: the newer way; it speaks of the first dataset that the test reads."""
    if not inputs:
        return
    tests = _list(event.run_facets.get("test"), "tests")
    for t in tests:
        if not isinstance(t, dict) or t.get("status") not in ("pass", "fail"):
            continue
        as_assertion = {**t, "success": t["status"] == "pass"}
        _assertions(facts, inputs[0].alias, {"assertions": [as_assertion]}, event, None)


def _lifecycle(
    facts: Facts, said: DatasetSaid, alias: UUID, event: Event, source: Source, rules: naming.Rules
) -> bool:
    """Record DROP and RENAME; True where the event ends this dataset, so that it proves no edge of it."""
    facet = said.facets.get("lifecycleStateChange")
    change = facet.get("lifecycleStateChange") if isinstance(facet, dict) else None
    done = event.state in (None, "COMPLETE")
    if change == "DROP":
        if done:
            facts.drops.append(Dropped(alias, event.at))
        return True
    if change == "RENAME" and done:
        before = facet.get("previousIdentifier") if isinstance(facet, dict) else None
        if isinstance(before, dict) and before.get("name"):
            old = naming.dataset(
                str(before.get("namespace") or said.namespace), str(before["name"]), {}, rules, source.name
            )
            if old is not None:
                old_alias = _alias_of(facts, old, event.at)
                facts.drops.append(Dropped(old_alias, event.at, alias))
    return False


def _columns(
    facts: Facts,
    event: Event,
    source: Source,
    rules: naming.Rules,
    said: sql.SqlSaid | None,
    job: UUID,
    out: _Dataset,
    inputs: list[_Dataset],
) -> None:
    facet = out.said.facets.get("columnLineage")
    if not isinstance(facet, dict):
        return
    provenance = "openlineage"
    reported = {d.alias for d in inputs}

    def add(field: Any, target_column: str) -> None:
        if not isinstance(field, dict) or not field.get("name") or not field.get("field"):
            return
        name = str(field["name"])
        if said is not None and _is_cte(name, said):
            return
        named = naming.dataset(
            str(field.get("namespace") or out.said.namespace), name, {}, rules, source.name
        )
        if named is None:
            return
        alias = ids.alias_id(named.environment, named.namespace, named.name, "dataset")
        if alias not in reported:
            # a column of a dataset that the job does not read: most often the alias of a CTE
            return
        how, masking = _transformation(field)
        facts.columns.append(
            ColumnSeen(
                job, alias, str(field["field"]), out.alias, target_column, provenance, how, masking,
                1.0 if said is not None else 0.8, event.at,
            )
        )  # fmt: skip

    columns = facet.get("fields")
    for target, spec in columns.items() if isinstance(columns, dict) else ():
        for field in _list(spec, "inputFields"):
            add(field, str(target))
    for field in _list(facet, "dataset"):
        add(field, "")


def _transformation(field: dict[str, Any]) -> tuple[str, bool]:
    steps = [t for t in _list(field, "transformations") if isinstance(t, dict)]
    words = sorted({f"{t.get('type', '')}/{t.get('subtype') or ''}".strip("/") for t in steps})
    return ", ".join(w for w in words if w), any(bool(t.get("masking")) for t in steps)


_PLACE = re.compile(r"(?:inputs|outputs)\[\d+\]")


def _warn(
    facts: Facts, event: Event, source: Source, alias: UUID | None, datasets: Sequence[_Dataset] = ()
) -> None:
    """Each warning on the node it concerns: the dataset in whose part of the event it is, else ``alias``."""
    of = {d.said.place: d.alias for d in datasets}
    for w in event.warnings:
        place = _PLACE.match(w.path)
        node = of.get(place[0], alias) if place else alias
        facts.warnings.append(Warned(node, source.id, w.path[:300], w.message[:500], event.at))
