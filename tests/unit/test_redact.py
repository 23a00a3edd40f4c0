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


def event(
    job_facets: Any = None, run_facets: Any = None, inputs: Any = None, outputs: Any = None
) -> dict[str, Any]:
    return {
        "eventTime": "2026-01-01T00:00:00Z",
        "eventType": "FAIL",
        "producer": "https://example.com/p",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "01a206ee-3f96-7b92-a885-cac352394bb5", "facets": run_facets or {}},
        "job": {"namespace": "ns", "name": "job", "facets": job_facets or {}},
        "inputs": inputs or [],
        "outputs": outputs or [],
    }


def sql_event(query: str, dialect: str | None = "postgres") -> dict[str, Any]:
    facet = {"query": query} if dialect is None else {"query": query, "dialect": dialect}
    return event(job_facets={"sql": facet})


def failed(message: str, stack: str = "") -> dict[str, Any]:
    return event(
        run_facets={"errorMessage": {"message": message, "programmingLanguage": "x", "stackTrace": stack}}
    )


#: (what is planted, the event that holds it)
PLANTS: list[tuple[str, dict[str, Any]]] = [
    # SQL literals
    ("alice.smith", sql_event("select * from users where login = 'alice.smith'")),
    ("O''Brien", sql_event("select * from users where last = 'O''Brien' and x = 1")),
    ("987654", sql_event("delete from orders where id = 987654")),
    ("3.14159", sql_event("update t set ratio = 3.14159")),
    ("0xDEADBEEF", sql_event("select * from t where h = 0xDEADBEEF", "mysql")),
    ("pw-in-ddl", sql_event("create user bob with password 'pw-in-ddl'")),
    ("dollar body", sql_event("do $$ begin perform 'dollar body'; end $$")),
    ("tagged body", sql_event("create function f() returns text as $fn$ select 'tagged body' $fn$ language sql")),
    ("E-string", sql_event("select E'E-string\\n' from t")),
    ("it\\'s hidden", sql_event("select 'it\\'s hidden' from t where a = 'b'", None)),
    ("hidden too", sql_event("select 'it\\'s' , 'hidden too' from t", "postgres")),
    ("C:\\secret-dir", sql_event("select 'C:\\secret-dir\\', 'next' from t", "postgres")),
    ("comment-value", sql_event("select 1 -- comment-value\nfrom t")),
    ("block-value", sql_event("select /* block-value */ a from t")),
    ("hash-value", sql_event("select a from t # hash-value", "mysql")),
    ("double-lit", sql_event('select a from t where b = "double-lit"', "bigquery")),
    ("double two", sql_event('select a from t where b = "double two"', None)),
    ("unterminated-x", sql_event("select 'unterminated-x from t")),
    ("national", sql_event("select N'national' from t", "mssql")),
    ("2019-07-31", sql_event("select * from t where d >= date '2019-07-31'")),
    ("17 days", sql_event("select now() - interval '17 days' from t")),
    ("seed-row", sql_event("insert into t values (1, 'seed-row'), (2, 'other')")),
    ("s3-cred-x", sql_event("copy t from 's3://b/k' credentials 'aws_secret_access_key=s3-cred-x'", "redshift")),
    ("cccc-lit", event(job_facets={"dbt_node": {"compiled_code": "select 'cccc-lit' from t"}})),
    ("raw-lit", event(job_facets={"dbt_node": {"raw_code": "select 'raw-lit' from {{ ref('a') }}"}})),
    ("view-lit", event(outputs=[{"namespace": "n", "name": "t", "facets": {"view": {"viewDefinition": "select 'view-lit'"}}}])),
    ("free-sql-lit", event(job_facets={"custom": {"anything": "insert into t values ('free-sql-lit', 1)"}})),
    ("src-sql-lit", event(job_facets={"sourceCode": {"language": "sql", "sourceCode": "select 'src-sql-lit' from t"}})),
    ("py_secret_code", event(job_facets={"sourceCode": {"language": "python", "sourceCode": "py_secret_code()"}})),
    ("ext-lit", event(run_facets={"externalQuery": {"externalQueryId": "1", "query": "select 'ext-lit' from t"}})),
    (
        "case-lit",
        event(outputs=[{"namespace": "n", "name": "t", "facets": {"columnLineage": {"fields": {"a": {
            "inputFields": [{"namespace": "n", "name": "s", "field": "b", "transformations": [
                {"type": "DIRECT", "subtype": "TRANSFORMATION", "description": "case when b = 'case-lit' then 1 end"}]}],
            "transformationDescription": "b = 'case-lit'"}}}}}]),
    ),
    ("plan-lit", event(run_facets={"spark.logicalPlan": {"plan": [{"value": "plan-lit"}]}})),
    ("unknown-lit", event(run_facets={"spark_unknown": {"output": {"description": "unknown-lit"}}})),
    # credentials
    ("hunter2", event(inputs=[{"namespace": "postgres://bob:hunter2@db:5432", "name": "a.b.c"}])),
    ("p@ss/w0rd", failed("cannot connect to postgresql://bob:p@ss/w0rd@db:5432/shop")),
    ("jdbcpw1", failed("No suitable driver jdbc:postgresql://db/shop?user=a&password=jdbcpw1&ssl=true")),
    ("orapw1", failed("jdbc:oracle:thin:scott/orapw1@db:1521/x refused")),
    ("mssqlpw1", event(inputs=[{"namespace": "jdbc:sqlserver://h:1433;databaseName=x;password=mssqlpw1", "name": "t"}])),
    ("AKIAIOSFODNN7EXAMPLE", failed("access denied for AKIAIOSFODNN7EXAMPLE")),
    ("wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY", failed("aws_secret_access_key = wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY")),
    ("eyJhbGciOiJIUzI1NiJ9", failed("401 with Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def")),
    ("dXNlcjpwYXNzd29yZA==", failed("header 'Authorization': 'Basic dXNlcjpwYXNzd29yZA=='")),
    ("opaque-bearer-123", failed("curl -H Bearer opaque-bearer-123")),
    ("sasSigValue%3D", failed("GET https://acct.blob.core.windows.net/c/b?sv=2022&sig=sasSigValue%3D&se=2026 403")),
    ("MIIEvQIBADANBg", failed("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0B\n-----END PRIVATE KEY-----")),
    ("ghp_abcdefghijklmnop1234", failed("remote https://ghp_abcdefghijklmnop1234@github.com/x/y failed")),
    ("xoxb-1234-abcdefgh", event(job_facets={"custom": {"anything": "posting with xoxb-1234-abcdefgh"}})),
    ("cli-pw-9", failed("command failed: psql --password cli-pw-9 -h db")),
    ("azure-key-9", failed("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=azure-key-9==;EndpointSuffix=x")),
    ("propsecret", event(run_facets={"spark_properties": {"properties": {"spark.hadoop.fs.s3a.secret.key": "propsecret"}}})),
    ("propother", event(run_facets={"spark_properties": {"properties": {"spark.custom.thing": "propother"}}})),
    ("envvalue", event(run_facets={"environmentVariables": {"environmentVariables": [{"name": "DB_URL", "value": "envvalue"}]}})),
    ("confvalue", event(run_facets={"airflow": {"dagRun": {"conf": {"customer": "confvalue"}}}})),
    ("keyvalue", event(job_facets={"custom": {"api_key": "keyvalue"}})),
    ("nestedkeyvalue", event(job_facets={"custom": {"a": [{"name": "client_secret", "value": "nestedkeyvalue"}]}})),
    ("bashvalue", event(run_facets={"unknownSourceAttribute": {"unknownItems": [{"name": "B", "properties": {"bash_command": "echo bashvalue"}}]}})),
    # row values in errors
    ("a@b.example", failed('duplicate key value violates unique constraint "u"\nDETAIL:  Key (email)=(a@b.example) already exists.')),
    ("multi (x", failed('DETAIL:  Key (a, lower(b))=(multi (x), y) already exists.')),
    ("abc-int", failed('invalid input syntax for type integer: "abc-int"')),
    ("alice-row", failed("null value in column \"x\" violates not-null constraint\nDETAIL:  Failing row contains (1, null, alice-row (b), 2020-01-01).")),
    ("4111 1111 1111 1111", failed("could not charge 4111 1111 1111 1111")),
    ("123-45-6789", failed("ssn 123-45-6789 rejected")),
    ("756123456789", failed("account 756123456789 unknown")),
    ("cast-value", failed("[CAST_INVALID_INPUT] The value 'cast-value' of the type \"STRING\" cannot be cast to \"INT\"")),
    ("joe-5", failed("(1062, \"Duplicate entry 'joe-5' for key 'users.email'\")")),
    ("paramvalue", failed("(x.Error) boom\n[SQL: INSERT INTO t VALUES (%s)]\n[parameters: ('paramvalue', 5)]\n(Background on this error)")),
    ("sqlvalue", failed("(x.Error) boom\n[SQL: INSERT INTO t VALUES ('sqlvalue')]")),
    ("linevalue", failed("column \"nope\" does not exist\nLINE 1: select nope from t where a = 'linevalue' and b = 55555")),
    ("55555", failed("column \"nope\" does not exist\nLINE 1: select nope from t where a = 'x' and b = 55555")),
    ("stackvalue", failed("x", "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\n    raise ValueError('stackvalue')")),
    ("keyerr", failed("x", "KeyError: 'keyerr'")),
    ("bytesval", failed("x", "UnicodeDecodeError: b'bytesval' is bad")),
    ("sparkrow", failed("Malformed records are detected in record parsing: [1,sparkrow,null].")),
    ("rowrepr", failed("bad Row(id=1, name='rowrepr')")),
    ("dictrepr", failed("cannot insert {'id': 5, 'name': 'dictrepr'}")),
    ("numberformat", failed('Caused by: java.lang.NumberFormatException: For input string: "numberformat"')),
    ("bqvalue", failed("Bad int64 value: bqvalue")),
    ("dupvalue", failed("Cannot insert duplicate key. The duplicate key value is (dupvalue, 7).")),
    ("copyvalue", failed('CONTEXT:  COPY orders, line 3, column amount: "copyvalue"')),
    ("csvvalue", failed("CSV Error on Line: 3\nOriginal Line: 1,csvvalue,3")),
    ("line2value", failed('invalid input syntax for type json: "{\n line2value }"')),
    ("second-line", failed("ERROR: bad 'multi\nsecond-line' here")),
    ("hans@intern", failed("Customer hans@intern unknown")),
    ("arrowpw", failed("spark.jdbc.password -> arrowpw")),
    ("mysqlpw", failed("mysql -u root -pmysqlpw -h db")),
    ("unq-key", failed("E11000 duplicate key error index: email_1 dup key: { : unq-key }")),
    ("rowval", failed("Error while writing row 5: rowval, 17, null")),
    ("0xdeadbe", failed('invalid byte sequence for encoding "UTF8": 0xdeadbe')),
    ("copiedrow", sql_event("copy t (a) from stdin;\ncopiedrow\t5\n\\.\nselect 1")),
    # values in quality facets
    ("minvalue", event(inputs=[{"namespace": "n", "name": "t", "inputFacets": {"dataQualityMetrics": {"rowCount": 3, "columnMetrics": {"c": {"min": "minvalue", "nullCount": 0}}}}}])),
    ("77123.5", event(inputs=[{"namespace": "n", "name": "t", "inputFacets": {"dataQualityMetrics": {"columnMetrics": {"c": {"max": 77123.5}}}}}])),
    ("actualvalue", event(inputs=[{"namespace": "n", "name": "t", "inputFacets": {"dataQualityAssertions": {"assertions": [{"assertion": "a", "success": False, "actual": "actualvalue", "params": {"in": ["paramvalue2"]}}]}}}])),
    ("paramvalue2", event(run_facets={"test": {"tests": [{"name": "t", "status": "fail", "params": {"in": ["paramvalue2"]}}]}})),
    ("partvalue", event(inputs=[{"namespace": "n", "name": "t", "inputFacets": {"subset": {"inputCondition": {"type": "compare", "left": {"type": "field", "field": "c"}, "right": {"type": "literal", "value": "partvalue"}}}}}])),
]  # fmt: skip


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
