"""What redaction costs an event: ``python -m bench.redact [file.jsonl …]``.

Without files it makes events of about 4 KB with SQL, schemas and errors, each with other literals, so that no cache
helps more than it would in real life. Prints events, mean size, and milliseconds an event: parsing, redaction, both.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from ingest import openlineage, redact


def made(count: int) -> list[bytes]:
    columns = [{"name": f"column_{i}", "type": "varchar(20)"} for i in range(25)]
    out = []
    for i in range(count):
        table = {"namespace": "postgres://db.prod:5432", "name": f"shop.public.t{i % 50}"}
        event = {
            "eventTime": "2026-01-01T00:00:00Z",
            "eventType": ("START", "COMPLETE", "FAIL")[i % 3],
            "producer": "https://example.com/bench",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": f"01a206ee-3f96-7b92-a885-{i:012x}", "facets": {}},
            "job": {
                "namespace": "bench",
                "name": f"job.{i % 50}",
                "facets": {
                    "sql": {
                        "_producer": "https://example.com/bench",
                        "_schemaURL": "https://openlineage.io/spec/facets/1-1-0/SQLJobFacet.json",
                        "query": "insert into public.daily select o.id, sum(o.amount), count(*) from public.orders o "
                        f"join public.customers c on c.id = o.customer_id where o.at > '{i}-01-01' and c.country in "
                        f"('CH', 'DE') and o.amount > {i} group by 1 order by 2 desc limit 100",
                    }
                },
            },
            "inputs": [{**table, "facets": {"schema": {"fields": columns}}}],
            "outputs": [{**table, "name": "shop.public.daily", "facets": {"schema": {"fields": columns}}}],
        }
        if i % 3 == 2:
            event["run"]["facets"]["errorMessage"] = {  # type: ignore[index]
                "message": f'duplicate key value violates "daily_pkey"\nDETAIL:  Key (id)=({i}) already exists.'
            }
        out.append(json.dumps(event).encode())
    return out


def timed(bodies: list[bytes], how_often: int) -> tuple[float, float]:
    parsing = redacting = 0.0
    for _ in range(how_often):
        for body in bodies:
            start = time.perf_counter()
            obj = openlineage.read_json(body)
            between = time.perf_counter()
            redact.redact_event(obj)
            redacting += time.perf_counter() - between
            parsing += between - start
    n = len(bodies) * how_often
    return parsing / n * 1000, redacting / n * 1000


def main(files: list[str]) -> None:
    sets = {f: [line for line in Path(f).read_bytes().splitlines() if line] for f in files}
    for name, bodies in (sets or {"made": made(3000)}).items():
        size = sum(map(len, bodies)) / len(bodies)
        parsing, redacting = timed(bodies, 1)
        print(
            f"{name}: {len(bodies)} events of {size:.0f} bytes: parse {parsing:.3f} ms, redact {redacting:.3f} ms an event"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
