"""Every parseable event is kept; what breaks the specification is a warning with its place."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import Malformed
from ingest import openlineage
from ingest.openlineage import clean, parse, parse_time

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(
    not (CORPUS / "openlineage").is_dir(), reason="../shared/corpus is not on this machine"
)
ARRIVED = datetime(2026, 5, 1, tzinfo=UTC)

GOOD: dict[str, Any] = {
    "eventTime": "2026-01-01T10:00:00+02:00",
    "eventType": "COMPLETE",
    "producer": "https://example.com/p",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {
        "runId": "01a206ee-3f96-7b92-a885-cac352394bb5",
        "facets": {"nominalTime": {"_producer": "p", "_schemaURL": "s", "nominalStartTime": "2026-01-01T00:00:00Z"}},
    },
    "job": {"namespace": "ns", "name": "job", "facets": {}},
    "inputs": [{"namespace": "postgres://db", "name": "a.b.c", "inputFacets": {"x": {"_producer": "p", "_schemaURL": "s"}}}],
    "outputs": [],
}  # fmt: skip


def read(**changes: Any) -> openlineage.Event:
    obj = {k: v for k, v in {**GOOD, **changes}.items() if v is not ...}
    return parse(json.dumps(obj).encode(), ARRIVED)


def warned(event: openlineage.Event) -> dict[str, str]:
    return {w.path: w.message for w in event.warnings}


def test_a_good_event() -> None:
    body = json.dumps(GOOD).encode()
    event = parse(body)
    assert event.warnings == ()
    assert event.at == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert event.state == "COMPLETE"
    assert event.run_id == "01a206ee-3f96-7b92-a885-cac352394bb5"
    assert event.job is not None
    assert (event.job.namespace, event.job.name) == ("ns", "job")
    assert [(d.namespace, d.name, sorted(d.facets)) for d in event.inputs] == [
        ("postgres://db", "a.b.c", ["x"])
    ]
    assert event.hash == hashlib.sha256(body).digest()
    assert event.producer_uri == "https://example.com/p"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "line 1 column 1"),
        (b"{", "line 1 column 2"),
        (b'{"a": 1,\n "b": }', "line 2 column 7 (byte 15)"),
        ('{"ü": }'.encode(), "line 1 column 7 (byte 7)"),
        (b"\xff\xfe{}", "byte 0"),
        (b'{"a": "\xff"}', "byte 7"),
        (b"not json", "line 1 column 1"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_refused_with_the_place(body: bytes, where: str) -> None:
    with pytest.raises(Malformed) as e:
        parse(body)
    assert where in e.value.message
    assert e.value.status == 400


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed, match="not an object"):
        parse(body)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"eventTime": ...}, "eventTime"),
        ({"eventTime": 17}, "eventTime"),
        ({"eventTime": "yesterday"}, "eventTime"),
        ({"eventTime": "2026-01-01T10:00:00"}, "eventTime"),
        ({"eventType": "DONE"}, "eventType"),
        ({"eventType": 3}, "eventType"),
        ({"producer": ...}, "producer"),
        ({"schemaURL": ...}, "schemaURL"),
        ({"job": ...}, "job"),
        ({"job": "x"}, "job"),
        ({"job": {"namespace": "ns"}}, "job.name"),
        ({"job": {"name": "x"}}, "job.namespace"),
        ({"run": []}, "run"),
        ({"run": {}}, "run.runId"),
        ({"run": {"runId": "not-a-uuid"}}, "run.runId"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{"name": 3, "namespace": "x"}]}, "inputs[0].name"),
        (
            {"outputs": [{"name": "a", "namespace": "x", "facets": {"schema": {}}}]},
            "outputs[0].facets.schema",
        ),
        ({"outputs": [{"name": "a", "namespace": "x", "facets": []}]}, "outputs[0].facets"),
        ({"outputs": [{"name": "a", "namespace": "x", "facets": {"schema": 5}}]}, "outputs[0].facets.schema"),
    ],
)
def test_what_breaks_the_specification_is_a_warning(changes: dict[str, Any], path: str) -> None:
    assert path in warned(read(**changes))


def test_what_can_be_read_of_a_bad_event_is_kept() -> None:
    event = read(
        eventTime=..., eventType="weird", run={"runId": "r1", "facets": {"a": 1, "b": {"c": 2}}}, inputs=[1, GOOD["inputs"][0]]
    )  # fmt: skip
    assert event.at == ARRIVED
    assert event.state == "OTHER"
    assert event.run_id == "r1"
    assert event.run_facets == {"b": {"c": 2}}
    assert len(event.inputs) == 1


def test_an_event_of_nothing_is_kept() -> None:
    event = parse(b"{}", ARRIVED)
    assert (event.job, event.dataset, event.run_id, event.state, event.at) == (
        None,
        None,
        None,
        None,
        ARRIVED,
    )
    assert "job" in warned(event)


def test_job_and_dataset_events() -> None:
    job = read(run=..., eventType=...)
    assert (job.state, job.run_id, job.warnings) == (None, None, ())
    dataset = read(
        run=...,
        eventType=...,
        job=...,
        inputs=...,
        outputs=...,
        dataset={"namespace": "n", "name": "d", "facets": {}},
    )
    assert dataset.dataset is not None
    assert (dataset.dataset.name, dataset.job, dataset.warnings) == ("d", None, ())


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.123456789Z", datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        (
            "2026-01-01T00:00:00.1+05:30",
            datetime(2026, 1, 1, 0, 0, 0, 100000, tzinfo=timezone(timedelta(hours=5.5))),
        ),
        ("2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("x", None),
        (None, None),
        (5, None),
    ],
)
def test_times(said: Any, at: datetime | None) -> None:
    assert parse_time(said) == at


def test_what_postgres_cannot_hold_is_read_and_mended() -> None:
    body = (
        b'{"eventTime": "2026-01-01T00:00:00Z", "job": {"namespace": "n", "name": "a\\u0000b\\ud800c", '
        b'"facets": {"f": {"nan": NaN, "inf": -Infinity, "k\\u0000": "\\udc00", "ok": 1.5}}}}'
    )
    event = parse(body)
    assert event.job is not None
    assert event.job.name == "a\ufffdb\ufffdc"
    assert event.job.facets["f"] == {"nan": None, "inf": None, "k\ufffd": "\ufffd", "ok": 1.5}


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).warnings == ()


@needs_corpus
def test_every_event_of_the_corpus_is_read() -> None:
    count = 0
    for file in sorted((CORPUS / "openlineage").glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            event = parse(line, ARRIVED)
            said = json.loads(line)
            assert event.at != ARRIVED
            assert len(event.inputs) == len(said.get("inputs") or [])
            assert len(event.outputs) == len(said.get("outputs") or [])
            assert {w.path for w in event.warnings} <= {"run.runId"}
            count += 1
    assert count > 800


@needs_corpus
def test_the_specifications_own_example_has_no_warning() -> None:
    body = (CORPUS / "openlineage-spec" / "tests" / "example_full_event.json").read_bytes()
    assert parse(body).warnings == ()


_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
_KEYS = st.sampled_from(
    ["eventTime", "eventType", "run", "runId", "job", "name", "namespace", "facets", "inputs", "outputs", "dataset", "inputFacets",
     "outputFacets", "producer", "schemaURL", "x"]
)  # fmt: skip
_JSON = st.recursive(
    _LEAF, lambda c: st.lists(c, max_size=3) | st.dictionaries(_KEYS, c, max_size=5), max_leaves=20
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(_KEYS, _JSON, max_size=8))
def test_any_json_object_becomes_an_event(obj: dict[str, Any]) -> None:
    event = parse(json.dumps(obj).encode(), ARRIVED)
    assert event.at.tzinfo is not None
    assert len(event.warnings) <= openlineage.MOST_WARNINGS
    for facets in (event.run_facets, *(d.facets for d in (*event.inputs, *event.outputs))):
        orjson.dumps(facets, default=str, option=orjson.OPT_NON_STR_KEYS) if _small(facets) else None


def _small(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_small(v) for v in value.values())
    if isinstance(value, list):
        return all(_small(v) for v in value)
    return not isinstance(value, int) or abs(value) < 2**63


@settings(max_examples=300, deadline=None)
@given(_JSON)
def test_clean_is_safe_for_postgres_and_changes_nothing_twice(obj: Any) -> None:
    cleaned = clean(obj)
    text = json.dumps(cleaned, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in text
    text.encode("utf-8")
    assert clean(cleaned) == cleaned


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_as_malformed(body: bytes) -> None:
    try:
        parse(body)
    except Malformed as e:
        assert e.message
