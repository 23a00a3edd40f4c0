"""The real openlineage-python client, both of its HTTP transports, against the web process; and everything that real
clients ever sent, over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attr
import pytest
import requests
import serving
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    Dataset,
    DatasetEvent,
    InputDataset,
    Job,
    JobEvent,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    error_message_run,
    nominal_time_run,
    parent_run,
    schema_dataset,
    sql_job,
    tags_dataset,
)
from openlineage.client.transport.async_http import AsyncHttpConfig, AsyncHttpTransport
from openlineage.client.transport.http import HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid
from serving import Served

served, served_by_module = serving.served, serving.served_by_module
pytestmark = pytest.mark.xdist_group("client")

CORPUS = Path(__file__).parents[2] / "../shared/corpus/openlineage"
FILES = sorted(p.name for p in CORPUS.glob("*.jsonl"))
PG = "postgres://db.example:5432"
NOW = datetime.now(UTC).replace(microsecond=0)


def client_of(kind: str, url: str, key: str, **config: Any) -> OpenLineageClient:
    said = {"url": url, "auth": {"type": "api_key", "apiKey": key}, "timeout": 20.0, **config}
    if kind == "sync":
        return OpenLineageClient(transport=HttpTransport(HttpConfig.from_dict(said)))
    return OpenLineageClient(transport=AsyncHttpTransport(AsyncHttpConfig.from_dict(said)))


def job_run(name: str, run_id: str, at: datetime) -> tuple[RunEvent, RunEvent]:
    """START and COMPLETE of a job that makes shop.public.daily of shop.public.orders, with every common facet."""
    orders = InputDataset(PG, "shop.public.orders", facets={
        "schema": schema_dataset.SchemaDatasetFacet(fields=[
            schema_dataset.SchemaDatasetFacetFields("id", "bigint"),
            schema_dataset.SchemaDatasetFacetFields("total", "numeric"),
        ]),
        "tags": tags_dataset.TagsDatasetFacet(tags=[tags_dataset.TagsDatasetFacetFields("pii", "true", "USER")]),
    })  # fmt: skip
    daily = OutputDataset(PG, "shop.public.daily", facets={
        "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(fields={
            "revenue": column_lineage_dataset.Fields(
                inputFields=[column_lineage_dataset.InputField(PG, "shop.public.orders", "total")]
            )
        }),
    })  # fmt: skip
    query = (
        "insert into shop.public.daily select sum(total) as revenue from shop.public.orders where note = 'x'"
    )
    job = Job("etl", name, facets={"sql": sql_job.SQLJobFacet(query)})
    run = Run(run_id, facets={
        "nominalTime": nominal_time_run.NominalTimeRunFacet(at.isoformat()),
        "parent": parent_run.ParentRunFacet(
            parent_run.Run(str(generate_new_uuid())), parent_run.Job("etl", "nightly")
        ),
    })  # fmt: skip
    start = RunEvent(
        eventTime=at.isoformat(), run=run, job=job, eventType=RunState.START, inputs=[orders], outputs=[daily]
    )
    end = (at + timedelta(minutes=3)).isoformat()
    return start, attr.evolve(start, eventType=RunState.COMPLETE, eventTime=end)


def rows(s: Served, query: str, *params: Any) -> list[dict[str, Any]]:
    return s.record.all(query, params)


def edges(s: Served) -> set[tuple[str, str]]:
    found = rows(
        s,
        "select a.name as a, b.name as b from edge e join alias a on a.id = e.source join alias b on b.id = e.target",
    )
    return {(r["a"], r["b"]) for r in found}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_run_events_become_nodes_edges_and_runs(served: Served, kind: str, compression: str | None) -> None:
    more = {"compression": compression} if compression else {}
    client = client_of(kind, served.base, served.key(), **more)
    run_id = str(generate_new_uuid())
    for event in job_run("daily", run_id, NOW - timedelta(hours=1)):
        client.emit(event)
    assert client.close(30) is not False
    assert served.fold() == 2
    nodes = {r["name"]: r for r in rows(served, "select * from node")}
    assert set(nodes) == {"shop.public.orders", "shop.public.daily", "daily", "nightly"}
    assert edges(served) == {("shop.public.orders", "daily"), ("daily", "shop.public.daily")}
    assert nodes["daily"]["parent_id"] == nodes["nightly"]["id"]
    assert nodes["daily"]["health"] == nodes["shop.public.daily"]["health"] == "ok"
    assert nodes["shop.public.orders"]["tags"] == ["pii"]
    (run,) = rows(served, "select * from run")
    assert (run["run_id"], run["state"]) == (run_id, "COMPLETE")
    assert (run["ended_at"] - run["started_at"]) == timedelta(minutes=3)
    (column,) = rows(served, "select * from column_edge")
    assert (column["source_column"], column["target_column"]) == ("total", "revenue")
    assert rows(served, "select * from event_warning") == []


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_run_that_fails_is_red_with_the_first_line_of_its_error(served: Served, kind: str) -> None:
    client = client_of(kind, served.base, served.key())
    start, _ = job_run("daily", str(generate_new_uuid()), NOW - timedelta(hours=1))
    client.emit(start)
    error = error_message_run.ErrorMessageRunFacet("disk full\nmore of it", "python", "Traceback …")
    run = attr.evolve(start.run, facets={**start.run.facets, "errorMessage": error})
    client.emit(attr.evolve(start, eventType=RunState.FAIL, run=run, eventTime=NOW.isoformat()))
    client.close(30)
    served.fold()
    (job,) = rows(served, "select * from node where name = 'daily'")
    assert (job["health"], job["health_reason"]) == ("failed", "disk full")
    (made,) = rows(served, "select * from node where name = 'shop.public.daily'")
    assert made["health"] == "failed"


def test_job_and_dataset_events_need_no_run(served: Served) -> None:
    client = client_of("sync", served.base, served.key())
    client.emit(
        JobEvent(
            eventTime=NOW.isoformat(), job=Job("etl", "declared"),
            inputs=[InputDataset(PG, "shop.public.orders")], outputs=[OutputDataset(PG, "shop.public.out")],
        )
    )  # fmt: skip
    facet = schema_dataset.SchemaDatasetFacet(
        fields=[schema_dataset.SchemaDatasetFacetFields("id", "bigint")]
    )
    client.emit(
        DatasetEvent(
            eventTime=NOW.isoformat(), dataset=Dataset(PG, "shop.public.alone", facets={"schema": facet})
        )
    )
    client.close(30)
    assert served.fold() == 2
    assert edges(served) == {("shop.public.orders", "declared"), ("declared", "shop.public.out")}
    assert rows(served, "select * from run") == []
    (schema,) = rows(
        served,
        "select s.* from schema_version s join alias a on a.id = s.alias_id where a.name like '%%alone'",
    )
    assert schema["fields"] == [{"name": "id", "type": "bigint"}]


def test_a_hundred_runs_at_once_by_the_async_transport(served: Served) -> None:
    client = client_of("async", served.base, served.key(), compression="gzip", max_concurrent_requests=20)
    for n in range(100):
        for event in job_run(f"job_{n % 10}", str(generate_new_uuid()), NOW - timedelta(hours=200 - n)):
            client.emit(event)
    assert client.close(120) is not False
    assert served.fold() == 200
    runs = rows(served, "select state, count(*) as n from run group by 1")
    assert [(r["state"], r["n"]) for r in runs] == [("COMPLETE", 100)]


def test_a_batch_is_answered_as_the_specification_has_it(served: Served) -> None:
    from openlineage.client.serde import Serde

    events = [json.loads(Serde.to_json(e)) for e in job_run("daily", str(generate_new_uuid()), NOW)]
    body = gzip.compress(json.dumps([*events, "not an event"]).encode())
    answer = served.post("/api/v1/lineage/batch", body, served.key(), **{"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    said = answer.json()
    assert said["status"] == "partial_success"
    assert said["summary"] == {
        "received": 3, "successful": 2, "failed": 1, "retriable": 0, "non_retriable": 1,
    }  # fmt: skip
    assert [f["index"] for f in said["failed_events"]] == [2]
    assert served.fold() == 2
    assert [r["state"] for r in rows(served, "select state from run")] == ["COMPLETE"]


# ---------------------------------------------------------------- a way that loses answers: clients send again


class _Lossy(ThreadingHTTPServer):
    """Hands on to the web process, but answers 503 first, or takes the event and then says 502."""

    daemon_threads = True

    def __init__(self, base: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base = base
        self.tries: dict[str, int] = {}
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Lossy)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            digest = hashlib.sha256(body).hexdigest()
            server.tries[digest] = n = server.tries.get(digest, 0) + 1
        status = 503
        if n > 1:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")}
            status = requests.post(
                server.base + self.path, data=body, headers=headers, timeout=30
            ).status_code
        self.send_response(502 if n == 2 else status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def lossy(served: Served) -> Iterator[_Lossy]:
    server = _Lossy(served.base)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_is_sent_again_counts_once(served: Served, lossy: _Lossy, kind: str) -> None:
    retry = {
        "total": 6,
        "backoff_factor": 0.01,
        "status_forcelist": [500, 502, 503, 504],
        "allowed_methods": ["POST"],
    }
    url = f"http://127.0.0.1:{lossy.server_address[1]}"
    client = client_of(kind, url, served.key(), retry=retry)
    for event in job_run("daily", str(generate_new_uuid()), NOW - timedelta(hours=1)):
        client.emit(event)
    client.close(60)
    assert sorted(lossy.tries.values()) == [3, 3], "each was refused, taken but not answered, and taken again"
    assert len(rows(served, "select * from event")) == 2
    assert served.fold() == 2
    assert [r["state"] for r in rows(served, "select state from run")] == ["COMPLETE"]


def test_without_a_key_the_client_hears_401_and_nothing_is_kept(served: Served) -> None:
    client = client_of("sync", served.base, "dlv_not_a_key")
    with pytest.raises(requests.HTTPError) as refused:
        client.emit(job_run("daily", str(generate_new_uuid()), NOW)[0])
    assert refused.value.response.status_code == 401
    assert rows(served, "select * from event") == []


# ---------------------------------------------------------------- everything that real clients sent

needs_corpus = pytest.mark.skipif(not FILES, reason="../shared/corpus is absent: no real events to post")


@needs_corpus
@pytest.mark.corpus
def test_every_event_of_the_corpus_is_taken_plain_zipped_and_twice(served: Served) -> None:
    key = served.key("corpus")
    bodies = [line for f in FILES for line in (CORPUS / f).read_bytes().splitlines() if line.strip()]
    assert len(bodies) > 300

    def send(n: int) -> int:
        body, headers = bodies[n // 2], {}
        if n % 2:
            body, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
        return served.post("/api/v1/lineage", body, key, **headers).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(2 * len(bodies))))
    assert set(answers) == {201}
    different = len({hashlib.sha256(b).digest() for b in bodies})
    assert len(rows(served, "select id from event")) == different
    assert served.fold() == different
    jobs = {r["name"] for r in rows(served, "select name from node where type = 'job'")}
    assert {"shop_etl", "failing.bad_sql", "lake_enrich"} <= jobs
    assert not [j for j in jobs if j.startswith("test.")]
    again = served.post("/api/v1/lineage/batch", b"[" + b",".join(bodies[:200]) + b"]", key)
    assert again.json()["summary"]["successful"] == 200


# ---------------------------------------------------------------- what must not be kept

SECRETS = {
    "password in a namespace": "hunter2namespace",
    "password in SQL": "hunter2literal",
    "a number in SQL": "4929123456781234",
    "row in an error": "jane.doe@private.example",
    "key in an error": "AKIAIOSFODNN7EXAMPLE",
    "token in a stack trace": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "password in a URL": "hunter2url",
    "row in a stack trace": "Grace Hopper",
    "password in a property": "hunter2property",
    "bearer in an error": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl",
    "comment in SQL": "hunter2comment",
    "asserted value": "hunter2asserted",
}


def poisoned() -> list[dict[str, Any]]:
    s = SECRETS
    facet = {"_producer": "https://example.org", "_schemaURL": "https://example.org/f.json"}
    query = (
        f"/* {s['comment in SQL']} */ select * from app.users where password = '{s['password in SQL']}' "
        f"and card = {s['a number in SQL']}"
    )
    message = (
        f'duplicate key value violates unique constraint "users_email_key"\nDETAIL:  Key (email)=({s["row in an error"]}) '
        f"already exists.\naws_access_key_id={s['key in an error']} Authorization: Bearer {s['bearer in an error']}\n"
        f"could not connect to postgresql://app:{s['password in a URL']}@db.example/app"
    )
    stack = (
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
        f"DETAIL:  Failing row contains (1, {s['row in a stack trace']}, null).\n"
        f"token={s['token in a stack trace']}"
    )
    base = {
        "producer": "https://example.org",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
    }
    source = {
        "namespace": f"postgres://app:{s['password in a namespace']}@db.example:5432",
        "name": "app.public.users",
        "inputFacets": {"dataQualityAssertions": {**facet, "assertions": [
            {"assertion": "equal", "success": False, "column": "name", "actual": "1", "expected": "0",
             "content": f"select 1 from users where name = '{s['asserted value']}'"}]}},
    }  # fmt: skip
    out = []
    for n, state in enumerate(("START", "FAIL")):
        run: dict[str, Any] = {"spark_properties": {**facet, "properties": {
            "spark.hadoop.javax.jdo.option.ConnectionPassword": s["password in a property"]}}}  # fmt: skip
        if state == "FAIL":
            run["errorMessage"] = {
                **facet,
                "message": message,
                "stackTrace": stack,
                "programmingLanguage": "python",
            }
        out.append({
            **base, "eventType": state, "eventTime": (NOW + timedelta(seconds=n)).isoformat(),
            "run": {"runId": "01939d9e-1f00-7000-8000-000000000001", "facets": run},
            "job": {"namespace": "etl", "name": "users", "facets": {"sql": {**facet, "query": query}}},
            "inputs": [source], "outputs": [],
        })  # fmt: skip
    return out


def test_secrets_are_in_no_table_no_log_and_no_answer(served: Served) -> None:
    key = served.key("poisoner")
    for event in poisoned():
        body = json.dumps(event).encode()
        assert served.post("/api/v1/lineage", body, key).status_code == 201
        assert served.post("/api/v1/lineage", body[:-1], key).status_code == 400
        zipped = gzip.compress(json.dumps([event]).encode())
        served.post("/api/v1/lineage/batch", zipped, key, **{"Content-Encoding": "gzip"})
    assert served.fold() > 0
    assert rows(served, "select 1 from node where name = 'app.public.users'")
    reader = served.key("reader", "read")
    places = {"the log": served.said()}
    for table in served.tables():
        places[table] = "\n".join(repr(r) for r in served.record.all(f'select * from "{table}"'))
    import zlib

    places["event bodies"] = "\n".join(
        zlib.decompress(r["body"]).decode() for r in served.record.all("select body from event")
    )
    for node in rows(served, "select id from node"):
        for part in ("", "/runs", "/schema", "/annotations", "/causes", "/lineage", "/impact"):
            answer = served.get(f"/api/v1/nodes/{node['id']}{part}", reader)
            assert answer.status_code == 200 or part, answer.text
            places[f"GET {part or 'node'} of {node['id']}"] = answer.text
    for path in ("/api/v1/nodes", "/api/v1/edges", "/api/v1/producers", "/api/v1/status"):
        places[f"GET {path}"] = served.get(path, reader).text
    found = {
        (what, place) for what, secret in SECRETS.items() for place, text in places.items() if secret in text
    }
    assert found == set()
    assert "unique constraint" in places["run"], "what is no secret is still there to be read"


def test_what_cannot_be_read_is_not_echoed_in_the_log(served: Served) -> None:
    body = b'{"password": "hunter2echo" '
    answer = served.post("/api/v1/lineage", body, served.key())
    assert answer.status_code == 400
    assert "hunter2echo" not in answer.text + served.said()
