"""The receiver of events, on a real record: what is taken, what is refused, and what it says."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.web import Web

CORPUS = Path(__file__).parents[2] / "../shared/corpus/openlineage"
EVENT = {
    "eventType": "COMPLETE",
    "eventTime": "2026-11-23T20:00:00.000Z",
    "producer": "https://example.org/test",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": "01939d9e-1f00-7000-8000-000000000001"},
    "job": {"namespace": "etl", "name": "daily"},
    "inputs": [{"namespace": "postgres://db:5432", "name": "shop.public.orders"}],
}


@pytest.fixture
def key(web: Web) -> dict[str, str]:
    return web.key("lineage:write", name="airflow")


def post(web: Web, key: dict[str, str], body: bytes, where: str = "/api/v1/lineage", **headers: str) -> Any:
    said = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return web.client().post(where, data=body, headers=key | said)


def stored(web: Web) -> list[dict[str, Any]]:
    return web.record.all(
        """select e.*, p.id as waiting from event e left join event_pending p on p.id = e.id order by e.id"""
    )


def test_an_event_is_stored_compressed_and_queued_and_answered_201(web: Web, key: dict[str, str]) -> None:
    body = json.dumps(EVENT).encode()
    answer = post(web, key, body)
    assert (answer.status_code, answer.data) == (201, b"")
    (row,) = stored(web)
    assert row["hash"] == hashlib.sha256(body).digest()
    assert json.loads(zlib.decompress(row["body"])) == EVENT
    assert row["waiting"] == row["id"]
    assert row["size"] == len(zlib.decompress(row["body"]))
    producer = web.record.one("select * from producer")
    assert producer is not None
    assert producer["last_event_at"] is not None
    assert row["producer_id"] == producer["id"]


def test_the_same_event_again_is_201_and_stored_once_also_at_once(web: Web, key: dict[str, str]) -> None:
    body = json.dumps(EVENT).encode()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(web, key, body).status_code, range(16)))
    assert answers == [201] * 16
    zipped = post(web, key, gzip.compress(body), Content_Encoding="gzip")
    assert zipped.status_code == 201
    assert len(stored(web)) == 1
    other = web.key("lineage:write", name="another")
    assert post(web, other, body).status_code == 201
    assert len(stored(web)) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"eventType": 7, "run": [], "job": "x", "inputs": {"a": 1}}',
        b'{"a": "\\u0000 \\ud800", "n": NaN, "big": 123456789012345678901234567890}',
        b'\xef\xbb\xbf{"job": {"namespace": "n", "name": "bom"}}',
        b'{"job": {"namespace": "n", "name": "\xf0\x9f\x90\x98"}}',
    ],
)
def test_whatever_parses_is_kept(web: Web, key: dict[str, str], body: bytes) -> None:
    assert post(web, key, body).status_code == 201
    (row,) = stored(web)
    assert row["hash"] == hashlib.sha256(body).digest()
    assert isinstance(json.loads(zlib.decompress(row["body"])), dict)


@pytest.mark.parametrize("headers", [{}, {"Content_Type": "text/plain"}, {"Content_Type": ""}])
def test_the_content_type_does_not_matter(web: Web, key: dict[str, str], headers: dict[str, str]) -> None:
    assert post(web, key, json.dumps(EVENT).encode(), **headers).status_code == 201


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": 1,\n "b": }', "line 2 column 7"),
        (b"", "line 1 column 1"),
        (b"[1]", "list"),
        (b'{"a": "\xff"}', "byte 7"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_does_not_parse_is_400_with_the_position(
    web: Web, key: dict[str, str], body: bytes, said: str
) -> None:
    answer = post(web, key, body)
    assert answer.status_code == 400
    assert said in answer.json["error"]["message"]
    assert answer.json["error"]["code"] == "malformed"
    assert stored(web) == []


def test_broken_compression_is_400(web: Web, key: dict[str, str]) -> None:
    good = gzip.compress(json.dumps(EVENT).encode())
    for body in (b"not gzip", good[:-9], good[:20]):
        assert post(web, key, body, Content_Encoding="gzip").status_code == 400
    assert post(web, key, b"x", Content_Encoding="br").json["error"]["field"] == "Content-Encoding"
    members = gzip.compress(b'{"job": ') + gzip.compress(b'{"namespace": "n", "name": "two members"}}')
    assert post(web, key, members, Content_Encoding="gzip").status_code == 201


def test_too_large_is_413_before_and_after_decompression(settled: Any) -> None:
    web = Web(settled.with_(max_body_bytes=64 * 1024))
    try:
        key = web.key("lineage:write")
        padded = json.dumps(EVENT | {"pad": "x" * 70_000}).encode()
        bomb = gzip.compress(b'{"pad": "' + b"x" * 50_000_000 + b'"}')
        assert len(bomb) < 64 * 1024
        for answer in (post(web, key, padded), post(web, key, bomb, Content_Encoding="gzip")):
            assert (answer.status_code, answer.json["error"]["code"]) == (413, "too_large")
        fits = json.dumps(EVENT | {"pad": "x" * 60_000}).encode()
        assert post(web, key, fits).status_code == 201
        chunked = web.client().post(
            "/api/v1/lineage",
            input_stream=__import__("io").BytesIO(padded),
            headers=key,
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert chunked.status_code == 413
    finally:
        web.close()


def test_an_event_of_twenty_megabytes_is_taken(web: Web, key: dict[str, str]) -> None:
    event = EVENT | {
        "inputs": [{"namespace": "s3://b", "name": f"{n:06d}" + "p" * 94} for n in range(130_000)]
    }
    body = json.dumps(event).encode()
    assert 16 * 1024 * 1024 < len(body) < 20 * 1024 * 1024
    assert post(web, key, gzip.compress(body, 1), Content_Encoding="gzip").status_code == 201
    (row,) = web.record.all("select size, hash from event")
    assert row["hash"] == hashlib.sha256(body).digest()


def test_no_key_or_a_bad_key_is_401_in_the_error_shape(web: Web) -> None:
    body = json.dumps(EVENT).encode()
    for where in ("/api/v1/lineage", "/api/v1/lineage/batch"):
        for headers in ({}, {"Authorization": "Bearer dlv_nope"}, {"Authorization": "dlv_nope"}):
            answer = post(web, headers, body, where)
            assert answer.status_code == 401
            assert answer.json["error"]["code"] == "unauthenticated"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_full_queue_is_503_with_retry_after_and_opens_again(settled: Any) -> None:
    web = Web(settled.with_(max_pending_events=2))
    try:
        key = web.key("lineage:write")
        receiver = web.server.extensions["dlv_receiver"]
        for n in range(3):
            receiver._counted_at = -1e9
            assert post(web, key, json.dumps(EVENT | {"n": n}).encode()).status_code == 201
        receiver._counted_at = -1e9
        full = post(web, key, json.dumps(EVENT | {"n": 9}).encode())
        assert (full.status_code, full.json["error"]["code"]) == (503, "unavailable")
        assert int(full.headers["Retry-After"]) > 0
        with web.record.tx() as conn:
            conn.execute("delete from event_pending")
        receiver._counted_at = -1e9
        assert post(web, key, json.dumps(EVENT | {"n": 9}).encode()).status_code == 201
    finally:
        web.close()


def test_a_missing_partition_is_made_on_the_way(web: Web, key: dict[str, str]) -> None:
    today = datetime.now(UTC).date()
    with web.record.tx() as conn:
        for day in (today, today + timedelta(days=1)):
            conn.execute(f"drop table event_{day:%Y%m%d}")
    assert post(web, key, json.dumps(EVENT).encode()).status_code == 201
    assert len(stored(web)) == 1


def test_a_batch_says_what_it_could_not_take(web: Web, key: dict[str, str]) -> None:
    items = [EVENT, 7, EVENT | {"eventType": "START"}, "x", EVENT]
    answer = post(web, key, json.dumps(items).encode(), "/api/v1/lineage/batch")
    assert answer.status_code == 200
    assert answer.json["status"] == "partial_success"
    assert answer.json["summary"] == {
        "received": 5,
        "successful": 3,
        "failed": 2,
        "retriable": 0,
        "non_retriable": 2,
    }
    assert [f["index"] for f in answer.json["failed_events"]] == [1, 3]
    rows = stored(web)
    assert [json.loads(zlib.decompress(r["body"]))["eventType"] for r in rows] == ["COMPLETE", "START"]
    again = post(web, key, json.dumps(items[:1]).encode(), "/api/v1/lineage/batch").json
    assert (again["status"], again["failed_events"]) == ("success", [])
    assert len(stored(web)) == 2
    assert post(web, key, b"[]", "/api/v1/lineage/batch").json["summary"]["received"] == 0
    assert post(web, key, b"{}", "/api/v1/lineage/batch").status_code == 400
    assert post(web, key, b"[", "/api/v1/lineage/batch").status_code == 400


def test_batches_that_share_events_do_not_deadlock(web: Web, key: dict[str, str]) -> None:
    items = [EVENT | {"n": n} for n in range(200)]
    orders = [items, items[::-1], items[100:] + items[:100], items[::2] + items[1::2]]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda o: post(web, key, json.dumps(o).encode(), "/api/v1/lineage/batch").status_code,
                orders * 2,
            )
        )
    assert answers == [200] * 8
    assert len(stored(web)) == 200


def test_every_event_of_the_corpus_is_accepted(web: Web, key: dict[str, str]) -> None:
    if not CORPUS.exists():
        pytest.skip("../shared/corpus is absent")
    sent = 0
    for path in sorted(CORPUS.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            event = json.loads(line)
            event = event.get("body", event) if isinstance(event, dict) else event
            body = json.dumps(event).encode()
            assert post(web, key, gzip.compress(body), Content_Encoding="gzip").status_code == 201, path
            sent += 1
    assert sent > 100


def test_planted_secrets_reach_neither_record_nor_log(
    web: Web, key: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    event = EVENT | {
        "job": {
            "namespace": "etl",
            "name": "daily",
            "facets": {"sql": {"query": "select * from t where email = 'planted-one@example.org'"}},
        },
        "inputs": [{"namespace": "postgres://u:planted-two@db:5432", "name": "shop.public.orders"}],
    }
    assert post(web, key, json.dumps(event).encode()).status_code == 201
    (row,) = stored(web)
    kept = zlib.decompress(row["body"]).decode()
    broken = post(web, key, b'{"password": "planted-three"')
    assert broken.status_code == 400
    for planted in ("planted-one", "planted-two", "planted-three"):
        assert planted not in kept
        assert planted not in caplog.text
        assert planted not in broken.text
    assert key["Authorization"].split()[1] not in caplog.text


def test_no_audit_row_for_events(web: Web, key: dict[str, str]) -> None:
    before = web.record.one("select count(*) as n from audit_log")
    post(web, key, json.dumps(EVENT).encode())
    assert web.record.one("select count(*) as n from audit_log") == before
