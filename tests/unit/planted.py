"""Events that hold what must not be kept, for the tests of redaction and for those that look everywhere afterwards."""

from __future__ import annotations

from typing import Any


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
