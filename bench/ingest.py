"""Ingest: one event a POST over keep-alive at a steady rate; how long the acknowledgement takes, and how long until
the event is on the map.

    python -m bench.ingest [--rate 500] [--seconds 60] [--url http://127.0.0.1:8050 --key dlv_...]

Against a `dlv up` of its own, or the one that --url names; that key needs lineage:write and read. Events are of the size
that real clients send (4.3 KB on average); every one is a run of its own, over ``--jobs`` jobs and twice as many tables.
Each job sends ``--before`` events in batches first, so that the minute meets an estate that is known, as it is at all times but
the first; ``--before 0`` leaves that out. An acknowledgement counts from the moment the event
was due, so that a queue at the client is not hidden. Time to the map is asked of GET /api/v1/nodes, for events that
name a table of their own. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from bench.up import up

COLUMNS = 44


def event(n: int, jobs: int, mark: str) -> dict[str, Any]:
    """One COMPLETE of a job that reads two tables and writes one, with schema and column lineage facets."""
    job = n % jobs
    facet = {
        "_producer": "https://example.org/bench",
        "_schemaURL": "https://openlineage.io/spec/facets/1-0-0/F.json",
    }
    fields = [
        {"name": f"column_{c:02d}", "type": "varchar", "description": "as measured"} for c in range(COLUMNS)
    ]
    table = mark or f"bench.public.table_{job}"
    return {
        "eventType": "COMPLETE",
        "eventTime": datetime.now(UTC).isoformat(),
        "producer": "https://example.org/bench",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": str(uuid.uuid4()),
            "facets": {"processing_engine": facet | {"name": "bench", "version": "1"}},
        },
        "job": {"namespace": "bench", "name": f"load.task_{job}"},
        "inputs": [
            {"namespace": "postgres://bench:5432", "name": f"bench.public.table_{(job * 7 + 1) % jobs}_raw"},
            {"namespace": "postgres://bench:5432", "name": f"bench.public.table_{(job * 3 + 2) % jobs}_raw"},
        ],
        "outputs": [
            {
                "namespace": "postgres://bench:5432",
                "name": table,
                "facets": {
                    "schema": facet | {"fields": fields},
                    "dataSource": facet | {"name": "bench", "uri": "postgres://bench:5432"},
                },
            }
        ],
    }


class Client:
    """A keep-alive HTTP/1.1 connection: just enough of it to cost the measured machine little."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._where)
        reader, writer = self._streams
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length)) if length else b""
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise
        if b"connection: close" in head:
            self.close()
        return int(head.split()[1]), body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def post(host: str, key: str, body: bytes) -> bytes:
    return (
        f"POST /api/v1/lineage HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def send(queue: asyncio.Queue[Any], client: Client, acks: list[float], codes: Counter[str]) -> None:
    while (item := await queue.get()) is not None:
        due, request, acked = item
        try:
            status, _ = await client.ask(request)
            codes[str(status)] += 1
        except (OSError, asyncio.IncompleteReadError) as e:
            codes[type(e).__name__] += 1
        now = time.perf_counter()
        acks.append(now - due)
        if acked is not None:
            acked.set_result(now)
    client.close()


async def watch(client: Client, host: str, key: str, name: str, acked: asyncio.Future[float]) -> float | None:
    """Seconds from the acknowledgement until GET /api/v1/nodes knows the table; None after 30."""
    since = await acked
    query = f"namespace={quote('postgres://bench:5432', safe='')}&name={quote(name)}"
    ask = (
        f"GET /api/v1/nodes?{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    )
    while time.perf_counter() - since < 30:
        try:
            status, body = await client.ask(ask)
        except (OSError, asyncio.IncompleteReadError):
            status, body = 0, b""
        if status == 200 and json.loads(body)["items"]:
            client.close()
            return time.perf_counter() - since
        # often enough for seconds, and no load of its own
        await asyncio.sleep(max(0.25, (time.perf_counter() - since) / 10))
    return None


def introduce(args: argparse.Namespace) -> None:
    """Every job is known, and ran before; waits until nothing is left to be folded."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {args.key}"
    for first in range(0, args.jobs * args.before, 250):
        batch = [event(n, args.jobs, "") for n in range(first, first + 250)]
        session.post(f"{args.url}/api/v1/lineage/batch", json=batch, timeout=60).raise_for_status()
        time.sleep(0.5)
    while "dlv_events_pending 0.0" not in session.get(f"{args.url}/metrics", timeout=10).text:
        time.sleep(0.5)
    time.sleep(args.idle)


async def run(args: argparse.Namespace) -> dict[str, Any]:
    where = urlsplit(args.url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    total = int(args.rate * args.seconds)
    marks = set(range(int(args.rate), total, max(1, int(args.rate * 2)))) if args.map else set()
    bodies = []
    for n in range(total):
        mark = f"bench.public.mark_{uuid.uuid4().hex}" if n in marks else ""
        bodies.append((mark, json.dumps(event(n, args.jobs, mark)).encode()))
    random.seed(1)
    queue: asyncio.Queue[Any] = asyncio.Queue()
    acks: list[float] = []
    codes: Counter[str] = Counter()
    senders = [
        asyncio.create_task(send(queue, Client(host, port), acks, codes)) for _ in range(args.connections)
    ]
    watchers = []
    start = time.perf_counter()
    for n, (mark, body) in enumerate(bodies):
        due = start + n / args.rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        acked = None
        if mark:
            acked = asyncio.get_running_loop().create_future()
            watchers.append(asyncio.create_task(watch(Client(host, port), host, args.key, mark, acked)))
        queue.put_nowait((due, post(host, args.key, body), acked))
    for _ in senders:
        queue.put_nowait(None)
    await asyncio.gather(*senders)
    took = time.perf_counter() - start
    seen = [s for s in await asyncio.gather(*watchers) if s is not None]
    return {
        "asked_per_s": args.rate,
        "events": total,
        "mean_bytes": sum(len(b) for _, b in bodies) // max(1, total),
        "got_per_s": round(total / took, 1),
        "codes": dict(codes),
        "ack_ms": _percentiles(acks, 1000),
        "to_map_s_in_order": [round(s, 1) for s in seen],
        "to_map_s": _percentiles(seen, 1) | {"asked": len(watchers), "seen": len(seen)},
        "generator_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _percentiles(values: list[float], unit: float) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {k: round(ordered[min(len(ordered) - 1, int(len(ordered) * f))] * unit, 2) for k, f in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="")
    parser.add_argument("--key", default="", help="API key with lineage:write and read")
    parser.add_argument("--rate", type=float, default=500, help="events a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument(
        "--idle",
        type=float,
        default=2,
        help="seconds between those and the minute; after 5 the workers sleep",
    )
    parser.add_argument("--before", type=int, default=1, help="events of each job before the minute begins")
    parser.add_argument(
        "--no-map", dest="map", action="store_false", help="do not ask when events are on the map"
    )
    args = parser.parse_args()
    if args.url:
        introduce(args)
        print(json.dumps(asyncio.run(run(args)), indent=2))
        return
    with up() as dlv:
        args.url, args.key = dlv.base, dlv.key
        introduce(args)
        before = dlv.cpu()
        said = asyncio.run(run(args))
        spent = {k: round((v - before[k]) * 1000 / said["events"], 2) for k, v in sorted(dlv.cpu().items())}
        print(json.dumps(said | {"cpu_ms_an_event": spent}, indent=2))


if __name__ == "__main__":
    main()
