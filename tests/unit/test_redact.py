"""Only metadata is kept: planted secrets and row values are gone, names and columns stay, twice is once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import messages, openlineage, sql
from ingest.redact import redact_event, redact_sql, redact_text
from tests.unit.planted import PLANTS

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(
    not (CORPUS / "openlineage").is_dir(), reason="../shared/corpus is not on this machine"
)


def corpus_events() -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted((CORPUS / "openlineage").glob("*.jsonl"))
        for line in file.read_text().splitlines()
        if line.strip()
    ]


def test_enough_is_planted() -> None:
    assert len(PLANTS) >= 80


@pytest.mark.parametrize(("planted", "said"), PLANTS, ids=[p for p, _ in PLANTS])
def test_planted_values_are_gone(planted: str, said: dict[str, Any]) -> None:
    def as_text(obj: Any) -> str:
        return json.dumps(obj, ensure_ascii=False).replace("\\\\", "\\")

    assert planted in as_text(said), "the plant itself is in the event"
    redacted = redact_event(said)
    assert planted not in as_text(redacted)
    assert redact_event(redacted) == redacted


READABLE = [
    'column "nope" does not exist',
    'relation "raw.orders" does not exist',
    'null value in column "x" of relation "y" violates not-null constraint',
    'duplicate key value violates unique constraint "users_email_key"',
    "Unknown column 'nope'",
    "Table 'shop.orders' doesn't exist",
    "No module named 'pandas'",
    "NameError: name 'frame' is not defined",
    'permission denied for table orders',
    'File "/opt/airflow/dags/shop.py", line 12, in load',
    "[UNRESOLVED_COLUMN] A column, variable, or function parameter with name `nope` cannot be resolved. "
    "Did you mean one of the following? [`id`, `amount`]",
    "org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/tmp/lake/marts/never.",
    "Connection refused (port 5432)",
    "Task 0 in stage 1.0 failed 4 times, most recent failure: Lost task 0.3 in stage 1.0 (TID 17)",
    "Bash command failed. The command returned a non-zero exit code 1.",
    'invalid byte sequence for encoding "UTF8"',
    "2 of 2 FAIL 3 assert_positive_amount",
]  # fmt: skip


@pytest.mark.parametrize("message", READABLE)
def test_names_in_messages_stay_readable(message: str) -> None:
    assert redact_text(message) == message


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("select a from t", "select a from t"),
        ("select * from t where a = 'x' and b = 12", "select * from t where a = ? and b = ?"),
        ("select a, count(*) from t group by 1 order by 2 desc", "select a, count(*) from t group by 1 order by 2 desc"),
        ("create table t (a varchar(20), b numeric(10, 2))", "create table t (a varchar(20), b numeric(10, 2))"),
        ('select "Jaffle"."raw"."orders".id from x', 'select "Jaffle"."raw"."orders".id from x'),
        ("select $1, t2.c3 from t2", "select $1, t2.c3 from t2"),
        ("select d from t where d > date '2020-01-01'", "select d from t where d > ?"),
        ("select 'a'||b||'c' from t", "select ? ||b|| ? from t"),
    ],
)  # fmt: skip
def test_sql_keeps_its_shape(query: str, redacted: str) -> None:
    assert redact_sql(query, "postgres") == redacted


@needs_corpus
def test_corpus_keeps_names_columns_runs_and_times() -> None:
    def names(obj: dict[str, Any]) -> list[Any]:
        e = openlineage.from_object(obj, b"")
        return [
            (e.at, e.state, e.run_id, e.producer_uri, e.job and (e.job.namespace, e.job.name)),
            [
                (d.namespace, d.name, columns(d.facets.get("schema")), lineage(d.facets.get("columnLineage")),
                 d.facets.get("symlinks"), d.facets.get("ownership"), d.facets.get("lifecycleStateChange"))
                for d in (*e.inputs, *e.outputs)
            ],
            e.run_facets.get("parent"), e.run_facets.get("nominalTime"),
            [e.job.facets.get(f) for f in ("jobType", "dbt_node", "tags", "ownership")] if e.job else None,
        ]  # fmt: skip

    def columns(facet: Any) -> Any:
        return facet and [(f["name"], f.get("type")) for f in facet["fields"]]

    def lineage(facet: Any) -> Any:
        return facet and {
            target: [(f["namespace"], f["name"], f["field"]) for f in spec["inputFields"]]
            for target, spec in facet["fields"].items()
        }

    for obj in corpus_events():
        redacted = redact_event(obj)
        assert names(redacted) == names(obj)
        assert redact_event(redacted) == redacted


@needs_corpus
def test_corpus_sql_says_the_same_after_redaction() -> None:
    seen = 0
    for obj in corpus_events():
        facet = ((obj.get("job") or {}).get("facets") or {}).get("sql")
        if not facet:
            continue
        before = sql.read(facet["query"], facet.get("dialect") or "postgres")
        redacted = redact_event(obj)["job"]["facets"]["sql"]["query"]
        after = sql.read(redacted, facet.get("dialect") or "postgres")
        assert (after.inputs, after.outputs, after.ctes) == (before.inputs, before.outputs, before.ctes), (
            redacted
        )
        assert "'" not in redacted
        seen += 1
    assert seen > 100


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["run", "job", "facets", "sql", "query", "errorMessage", "message", "name", "value", "inputs", "password",
                 "sourceCode", "columnLineage", "fields", "schema", "spark_properties", "dataQualityMetrics", "params",
                 "environmentVariables", "columnMetrics", "subset", "assertions", "dataQualityAssertions", "test", "dialect"]
            )
            | st.text(max_size=8),
            children,
            max_size=4,
        )
    ),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["run", "job", "facets", "inputs", "outputs", "x"]), _JSON, max_size=4)
)
def test_any_json_is_redacted_once_and_for_all(obj: dict[str, Any]) -> None:
    redacted = redact_event(obj)
    assert redact_event(redacted) == redacted


_PIECES = st.sampled_from(
    ["select ", "from t ", "where ", "a = ", "'x'", "'", '"', '"q"', "\\'", "--", "/*", "*/", "\n", "$$", "$1", "12", "0x1f",
     "date ", "?", "||", "(", ")", ",", "`", "t.", "E'a'", "N'b'", ";", "#", "value: ", "Key (a)=(b)", "LINE 1: ", "password=",
     "://u:p@h", "{'a': 1}", "[1, null]", "a@b.cc", "column ", "token ", "bearer abc1.def2", " "]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.lists(_PIECES, max_size=14),
    st.sampled_from([None, "postgres", "mysql", "bigquery", "mssql", "snowflake"]),
)
def test_sql_and_text_are_idempotent(pieces: list[str], dialect: str | None) -> None:
    text = "".join(pieces)
    once = redact_sql(text, dialect)
    assert redact_sql(once, dialect) == once
    said = redact_text(text)
    assert redact_text(said) == said


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="abcdefghijkl", min_size=6, max_size=12),
    st.sampled_from([None, "postgres", "mysql", "spark"]),
)
def test_a_literal_never_survives(word: str, dialect: str | None) -> None:
    planted = f"zq{word}qz"
    for query in (
        f"select a from t where b = '{planted}'",
        f"insert into t select '{planted}', b from s where c in ('{planted}', 'x''{planted}')",
        f"select a from t where b like '%{planted}%' -- {planted}",
        f"select 'x' || '{planted}",
    ):
        assert planted not in redact_sql(query, dialect)
    for message in (
        f"bad value '{planted}'",
        f'for input string: "{planted}"',
        f"Key (x)=({planted}) already exists.",
    ):
        assert planted not in redact_text(message)


HOSTILE = [
    "'",
    '"',
    "\\'",
    "(",
    "[1,",
    "{'a':",
    "password",
    "_token",
    "a.",
    "a@",
    "://a:",
    "[SQL: ",
    "Key (a)=(",
    "\n",
    "select ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_texts_are_redacted_at_all(unit: str) -> None:
    """They once took a minute for 20 KB; the run's own limit is what would fail here, not a clock."""
    text = (unit * 20_000)[:20_000]
    redact_event(
        {
            "run": {"facets": {"errorMessage": {"message": text}, "x": {"y": text}}},
            "job": {"facets": {"sql": {"query": text}}},
        }
    )


@pytest.mark.parametrize(
    "prose",
    [
        "Copy of the shop's orders, one row an order",
        "Update of the customer's set of addresses",
        "Orders that the shop's staff entered by hand",
    ],
)
def test_a_description_that_begins_like_sql_stays_as_it_is(prose: str) -> None:
    event = {"job": {"namespace": "n", "name": "j", "facets": {"documentation": {"description": prose}}}}
    assert redact_event(event)["job"]["facets"]["documentation"]["description"] == prose


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "\n  org.apache.kafka.connect.errors.ConnectException: Couldn't open /srv/out/x.txt\n\tat a.B.c(B.java:1)",
            "org.apache.kafka.connect.errors.ConnectException: Couldn't open /srv/out/x.txt",
        ),
        (
            "java.sql.SQLException: refused for jdbc:postgresql://db/shop?user=a&password=hunter2",
            "java.sql.SQLException: refused for jdbc:postgresql://db/shop?user=a&password=?",
        ),
        (
            "invalid input syntax for type integer: \"ada@private.example\"\nLINE 1: select 'Ada'",
            'invalid input syntax for type integer: "?"',
        ),
        ("", ""),
    ],
)
def test_the_first_line_of_a_message(said: str, line: str) -> None:
    """What stands beside a failure: one line, by quotes alone, without credentials and row values."""
    assert messages.first_line(said) == line


def test_a_long_first_line_is_cut() -> None:
    assert len(messages.first_line("word " * 400)) <= 300
