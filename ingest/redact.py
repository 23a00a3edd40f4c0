"""Only metadata is kept: data, credentials and code are taken out of an event before anything is stored.

- SQL keeps its shape and its names; each literal becomes ``?`` and comments go. sqlglot's tokenizer finds the
  literals (0.1 ms), not a parse (1 ms). What it cannot tokenize is cut by quotes, rather too much than too little.
- Credentials go wherever they stand: URLs, JDBC strings, key=value pairs, headers, well-known token shapes.
- Error texts and stack traces lose what they quote from rows; names of tables and columns stay readable.
- Code that is not SQL, query plans, environment variables and most properties go.

What stays as it was sent: names and namespaces (but for credentials in URLs), columns and their types, run ids,
times, counts. Pure and idempotent: redacting twice is redacting once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from ingest import messages
from ingest.messages import (
    CREDENTIALS,
    GONE,
    SECRET_KEY,
    WORD,
    by_quotes,
    credentials,
    plain,
    plain_name,
    stable,
)
from ingest.naming import system_of
from ingest.sql import dialect_of

#: stands in a facet of source code for the code, so that the facet still says that there was some
CODE_GONE = "[not kept]"
#: deeper than any real event; what lies below is dropped
DEEPEST = 100

# ---------------------------------------------------------------- SQL

_LITERALS = {
    TokenType.STRING,
    TokenType.NATIONAL_STRING,
    TokenType.RAW_STRING,
    TokenType.HEX_STRING,
    TokenType.BIT_STRING,
    TokenType.BYTE_STRING,
    TokenType.HEREDOC_STRING,
    TokenType.UNICODE_STRING,
}
#: ``date '2026-01-01'`` becomes ``?`` whole: ``date ?`` does not parse
_TYPED = {TokenType.DATE, TokenType.TIMESTAMP, TokenType.TIMESTAMPTZ, TokenType.TIME, TokenType.DATETIME}
#: a double-quoted word after one of these compares or fills: where the dialect is unknown it may be a value
_BEFORE_VALUE = {
    TokenType.EQ,
    TokenType.NEQ,
    TokenType.LT,
    TokenType.GT,
    TokenType.LTE,
    TokenType.GTE,
    TokenType.LIKE,
    TokenType.ILIKE,
    TokenType.BETWEEN,
    TokenType.RLIKE,
}
_ORDINALS = {TokenType.GROUP_BY, TokenType.ORDER_BY}
_BETWEEN_ORDINALS = {TokenType.COMMA, TokenType.NUMBER, TokenType.ASC, TokenType.DESC, TokenType.PLACEHOLDER}
_GLUE = {TokenType.VAR, TokenType.IDENTIFIER, TokenType.DOT, TokenType.DASH}
_MAYBE_DATA = {*_LITERALS, TokenType.NUMBER, TokenType.IDENTIFIER}
_SQL_HAS_DATA = re.compile(r"['\"$#]|--|/\*|\d|://")
_SCALE = re.compile(r"^\s*\(\s*\d+\s*(?:,\s*\d+\s*)?\)")
_TYPE_WORDS = re.compile(
    r"(?i)\b(?:n?var)?char(?:acter)?(?:\s+varying)?\s*$|\bvarchar2\s*$|\bstring\s*$|\b(?:decimal|numeric|number|float|"
    r"bit|binary|varbinary|timestamp(?:tz|_ntz|_ltz)?|datetime2?|time|fixedstring|decimal(?:32|64|128))\s*$"
)


_COPIED = re.compile(r"(?is)(\bfrom\s+stdin\b[^;]*;[ \t]*\n).*?^\\\.[ \t]*$", re.M)


def redact_sql(query: str, dialect: str | None = None) -> str:
    """SQL with ``?`` for each literal and without comments. ``dialect``: sqlglot's, or a system's name."""
    if "\\." in query:
        query = _COPIED.sub(r"\1", query)  # rows in a dump
    if not _SQL_HAS_DATA.search(query):
        return query
    if len(query) > 20_000:
        return _still_sql(query, dialect)
    return _cached_sql(query, dialect)


@lru_cache(maxsize=2048)
def _cached_sql(query: str, dialect: str | None) -> str:
    return _still_sql(query, dialect)


def _still_sql(query: str, dialect: str | None) -> str:
    """What a credential leaves behind may read as SQL of another shape: then it is read again."""
    done = _redact_sql(query, dialect)
    return stable(lambda text: _redact_sql(text, dialect), done) if "=?" in done else done


_DOLLAR_QUOTE = re.compile(r"\$\w*\$")
_LOOSE_NUMBER = re.compile(r"(?<![A-Za-z_\d])\d")
_AGAIN = ("'", "$", "#", "--", "/*", "://")


def _redact_sql(query: str, dialect: str | None) -> str:
    done = query
    for _ in range(4):  # until nothing changes: a tokenizer may read its own result differently
        before = done
        known = dialect_of(dialect) or ("postgres" if _DOLLAR_QUOTE.search(before) else None)
        tokens = _tokens(before, known)
        done = credentials(by_quotes(before, known) if tokens is None else _by_tokens(before, tokens, known))
        sure = tokens is not None and not (known is None and '"' in done)
        if done == before or (sure and not _LOOSE_NUMBER.search(done) and not any(m in done for m in _AGAIN)):
            return done if known == dialect_of(dialect) or done == before else _redact_sql(done, dialect)
    return credentials(by_quotes(done, dialect_of(dialect)))


def _tokens(query: str, dialect: str | None) -> list[Token] | None:
    """The tokens in order; None where the text cannot be told apart with certainty."""
    if "\\'" in query or '\\"' in query:
        return None  # whether a backslash escapes depends on settings: both readings are taken out
    try:
        tokens: list[Token] = Dialect.get_or_raise(dialect).tokenize(query)
    except (SqlglotError, ValueError, IndexError, TypeError, RecursionError):
        return None
    return tokens


def _by_tokens(query: str, tokens: list[Token], dialect: str | None) -> str:
    has_comments = "--" in query or "/*" in query or "#" in query or "//" in query
    out: list[str] = []
    at = 0  # up to here the query is in ``out``
    last = 0  # end of the token before
    for i, token in enumerate(tokens):
        kind = token.token_type
        if has_comments:
            gap = query[last : token.start]
            if gap and not gap.isspace():
                out.append(query[at:last] + " ")
                at = token.start
            last = token.end + 1
        if kind not in _MAYBE_DATA or not _is_data(query, tokens, i, dialect):
            continue
        start = token.start
        if kind in _LITERALS and i and tokens[i - 1].token_type in _TYPED and tokens[i - 1].start >= at:
            start = tokens[i - 1].start
        out.append(query[at : max(at, start)])
        at = token.end + 1
        _put_mark(out, query[at : at + 1])
    if not has_comments or not tokens:
        return "".join(out) + (query[at:] if tokens else "")
    return "".join(out) + query[at:last] + ("" if query[last:].strip() else query[last:])


def _put_mark(out: list[str], follows: str) -> None:
    last = next((piece[-1] for piece in reversed(out[-4:]) if piece), "")
    if last and last not in " \t\n\r(,=<>[":
        out.append(" ")
    out.append(GONE)
    if follows and follows not in " \t\n\r),;]":
        out.append(" ")


def _is_data(query: str, tokens: list[Token], i: int, dialect: str | None) -> bool:
    token = tokens[i]
    if token.token_type in _LITERALS:
        return True
    if token.token_type == TokenType.NUMBER:
        return not _is_plain_number(query, tokens, i)
    if query[token.start] != '"':
        return False
    text = query[token.start + 1 : token.end]
    if "@" in text:
        return True
    if dialect is None:
        compared = i > 0 and tokens[i - 1].token_type in _BEFORE_VALUE
        dotted = query[token.end + 1 : token.end + 2] == "."
        return (compared and not dotted) or not WORD.match(text)
    return False


def _is_plain_number(query: str, tokens: list[Token], i: int) -> bool:
    """Numbers that are no data: a type's length, a column's ordinal, a parameter's, a part of a name."""
    token = tokens[i]
    start, end = token.start, token.end + 1
    if end - start <= 2 and _is_ordinal(tokens, i):
        return True
    left = query[start - 1 : start]
    if left and left in "$:@":
        return True
    if i and i + 1 < len(tokens):
        before, after = tokens[i - 1], tokens[i + 1]
        if (
            before.end + 1 == start
            and before.token_type in _GLUE
            and after.start == end
            and after.token_type == TokenType.VAR
        ):
            return True
    opening = query.rfind("(", max(0, start - 16), start)
    return (
        opening >= 0
        and _SCALE.match(query[opening : opening + 24]) is not None
        and _TYPE_WORDS.search(query[max(0, opening - 24) : opening]) is not None
    )


def _is_ordinal(tokens: list[Token], i: int) -> bool:
    """In ``group by 1, 2`` or ``order by 1 desc``."""
    for token in reversed(tokens[max(0, i - 24) : i]):
        if token.token_type in _ORDINALS:
            return True
        if token.token_type not in _BETWEEN_ORDINALS:
            return False
    return False


def redact_text(text: str) -> str:
    """One message or stack trace without credentials and row values; names of tables and columns stay."""
    return messages.redact_text(text, redact_sql)


# ---------------------------------------------------------------- whole events

_NAME_KEYS = {
    "name", "namespace", "runid", "eventtime", "eventtype", "producer", "schemaurl", "_producer", "_schemaurl", "type",
    "field", "column", "nominalstarttime", "nominalendtime", "uri", "unique_id", "database", "schema", "alias",
    "transformationtype", "subtype",
}  # fmt: skip
_SQL_KEYS = {
    "query", "sql", "statement", "statements", "sqltext", "querytext", "compiled_code", "compiled_sql", "raw_code",
    "raw_sql", "rawcode", "rawsql", "compiledcode", "compiledsql", "viewdefinition", "view_definition", "definition",
    "viewtext", "view_text", "vieworiginaltext", "viewexpandedtext", "condition", "predicate", "expression", "filter",
    "where", "transformationdescription", "transformation_description", "ddl", "original_sql", "content",
}  # fmt: skip
_MESSAGE_KEYS = {
    "message", "stacktrace", "stack_trace", "errormessage", "error", "errors", "error_message", "exception", "failurereason",
    "reason", "traceback", "detail", "details", "log", "stderr", "stdout", "note", "failure", "cause", "errordescription",
}  # fmt: skip
_OPAQUE_KEYS = {
    "params", "parameters", "conf", "op_args", "op_kwargs", "env", "executor_config", "bash_command", "templates_dict",
    "extra", "args", "kwargs", "arguments", "env_vars", "environmentvariables", "samplevalues", "sample", "samples",
    "examples", "examplevalues", "samplerows", "row", "values", "quantiles", "partition_values", "dimensions", "literal",
    "expected", "actual", "lowerbound", "upperbound", "lower_bound", "upper_bound", "notebook_params", "bind", "binds",
}  # fmt: skip
_CODE_KEYS = {"sourcecode", "source_code", "code", "script", "plan", "logicalplan", "physicalplan"}
_DROPPED_FACETS = {"spark.logicalPlan", "spark_unknown", "spark.physicalPlan", "spark_logicalPlan"}
_FACET_HOLDERS = {"facets", "inputFacets", "outputFacets"}

_SQL_START = re.compile(
    r"(?is)^\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*(?:select\b.*\bfrom\b|select\s+['\d]|insert\s+(?:into|overwrite)\b|update\s+[\w.\"`]+\s+(?:as\s+)?(?:\w+\s+)?set\b|"
    r"delete\s+from\b|merge\s+into\b|with\s+\w+\s+as\s*\(|create\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?(?:table|view|"
    r"materialized|user|role)\b|copy\s+(?:into\s|[\w.\"]+\s*(?:\([^)]*\)\s*)?(?:from|to)\s+(?:['@$?]|stdin\b|stdout\b|program\b))|alter\s+(?:user|role)\b)"
)

_HARMLESS_ENV = {
    "TZ", "LANG", "LC_ALL", "ENV", "ENVIRONMENT", "DEPLOYMENT", "AWS_REGION", "AWS_DEFAULT_REGION", "PYTHON_VERSION",
    "JAVA_VERSION", "SPARK_VERSION", "AIRFLOW_VERSION", "DBT_VERSION", "OPENLINEAGE_NAMESPACE", "DBT_TARGET",
}  # fmt: skip
_HARMLESS_PROPERTY = re.compile(
    r"^(?:spark\.(?:app\.(?:name|id)|master|version|submit\.deployMode|(?:driver|executor)\.(?:memory|cores|instances|"
    r"memoryOverhead)|executor\.instances|default\.parallelism|sql\.shuffle\.partitions|sql\.adaptive\.[\w.]+|"
    r"dynamicAllocation\.\w+|databricks\.(?:job\.(?:id|runId|type)|clusterUsageTags\.cluster(?:Id|Name)|workspaceUrl)|"
    r"openlineage\.(?:namespace|version))|"
    r"(?:task|dag|run|trigger)_(?:id|rule)|operator_class(?:_path)?|operator_provider_version|owner|queue|pool|retries|"
    r"priority_weight|depends_on_past|mapped|multiple_outputs|weight_rule|wait_for_downstream|(?:up|down)stream_task_ids|"
    r"start_date|end_date|_producer|_schemaURL)$"
)


@lru_cache(maxsize=8192)
def _class_of(key: str) -> str:
    lower = key.lower()
    for keys, name in (
        (_NAME_KEYS, "name"), (_SQL_KEYS, "sql"), (_MESSAGE_KEYS, "message"), (_OPAQUE_KEYS, "opaque"), (_CODE_KEYS, "code"),
    ):  # fmt: skip
        if lower in keys:
            return name
    return "secret" if SECRET_KEY.search(key) else "plain"


def redact_event(obj: dict[str, Any]) -> dict[str, Any]:
    """An OpenLineage event (any parsed JSON object, good or bad) with metadata only. Returns a new object."""
    redacted: dict[str, Any] = _object(obj, _dialect_of(obj), 0)
    return redacted


def _dialect_of(obj: dict[str, Any]) -> str | None:
    """The dialect of an event's SQL where its facet does not say: by the systems it names."""
    for side in ("outputs", "inputs"):
        sets = obj.get(side)
        for one in sets if isinstance(sets, list) else ():
            namespace = one.get("namespace") if isinstance(one, dict) else None
            dialect = _dialect_of_namespace(namespace) if isinstance(namespace, str) else None
            if dialect:
                return dialect
    job = obj.get("job")
    facets = job.get("facets") if isinstance(job, dict) else None
    job_type = facets.get("jobType") if isinstance(facets, dict) else None
    said = job_type.get("integration") if isinstance(job_type, dict) else None
    return dialect_of(said) if isinstance(said, str) else None


@lru_cache(maxsize=1024)
def _dialect_of_namespace(namespace: str) -> str | None:
    return dialect_of(system_of(namespace))


def _object(obj: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        return {}
    own = obj.get("dialect")
    if isinstance(own, str):
        dialect = own if dialect_of(own) else dialect
    out: dict[str, Any] = {}
    for key, value in obj.items():
        if key in _FACET_HOLDERS and isinstance(value, dict):
            out[key] = _facets(value, dialect, depth + 1)
        else:
            out[_key(key)] = _value(key, value, dialect, depth + 1)
    said = obj.get("name", obj.get("key"))
    if "value" in obj and isinstance(said, str) and SECRET_KEY.search(said):
        out["value"] = GONE
    return out


def _key(key: str) -> str:
    return key if len(key) < 12 else plain_name(key) if "://" in key else _tokens_gone(key)


def _tokens_gone(key: str) -> str:
    for pattern, replacement in CREDENTIALS[9:12]:
        key = pattern.sub(replacement, key)
    return key


def _value(key: str, value: Any, dialect: str | None, depth: int) -> Any:
    kind = _class_of(key)
    if isinstance(value, str):
        return _string(kind, value, dialect)
    if isinstance(value, dict):
        if kind == "opaque":
            return _opaque(value, depth)
        return _object(value, dialect, depth)
    if isinstance(value, list):
        if depth > DEEPEST:
            return []
        if kind == "opaque":
            return _opaque(value, depth)
        return [_value(key, v, dialect, depth + 1) for v in value]
    if kind == "secret" and not isinstance(value, bool) and value is not None and not _is_count(key):
        return GONE
    if kind == "opaque" and not isinstance(value, bool) and value is not None:
        return value if _is_small(value, 12) else GONE
    return value


def _is_count(key: str) -> bool:
    """``tokenCount``, ``max_tokens``: numbers about tokens, not tokens."""
    return bool(re.search(r"(?i)count|tokens$|_at$|expires|length", key))


def _string(kind: str, value: str, dialect: str | None) -> str:
    if kind == "plain":
        if len(value) > 12 and _SQL_START.match(value):
            return redact_sql(value, dialect)
        return plain(value)
    if kind == "name":
        return plain_name(value)
    if kind == "sql":
        return redact_sql(value, dialect)
    if kind == "message":
        return redact_text(value)
    if kind == "opaque":
        return value if _is_small(value, 12) else GONE
    return value if value == "" else GONE if kind == "secret" else CODE_GONE


def _is_small(value: Any, digits: int) -> bool:
    """A count: a whole number of few digits, as number or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 10**digits
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= digits


def _opaque(value: Any, depth: int) -> Any:
    """Values that people or rows filled: the keys stay, the values go, but small counts."""
    if depth > DEEPEST:
        return None
    if isinstance(value, dict):
        return {_key(k): _opaque(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_opaque(v, depth + 1) for v in value]
    if value is None or isinstance(value, bool) or value == "" or _is_small(value, 6):
        return value
    return GONE


# -- facets with rules of their own


def _facets(facets: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, facet in facets.items():
        if name in _DROPPED_FACETS:
            continue
        rule = _RULES.get(name) if isinstance(facet, dict) else None
        out[_key(name)] = rule(facet, dialect, depth) if rule else _value(name, facet, dialect, depth)
    return out


def _source_code(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    out = _object({k: v for k, v in facet.items() if k != "sourceCode"}, dialect, depth)
    if "sourceCode" in facet:
        language = facet.get("language")
        is_sql = isinstance(language, str) and "sql" in language.lower()
        code = facet["sourceCode"]
        out["sourceCode"] = redact_sql(code, dialect) if is_sql and isinstance(code, str) else CODE_GONE
    return out


def _environment(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Variables as [{name, value}] or {name: value}: only harmless ones keep their value."""
    out: dict[str, Any] = {}
    for key, value in facet.items():
        if isinstance(value, list):
            out[key] = [_variable(v, dialect, depth) for v in value]
        elif isinstance(value, dict):
            out[key] = {k: _harmless(k, v, k in _HARMLESS_ENV) for k, v in value.items()}
        else:
            out[key] = _value(key, value, dialect, depth)
    return out


def _variable(variable: Any, dialect: str | None, depth: int) -> Any:
    if not isinstance(variable, dict):
        return GONE
    out = _object(variable, dialect, depth)
    if "value" in out and variable.get("name") not in _HARMLESS_ENV:
        out["value"] = GONE
    return out


def _harmless(key: str, value: Any, is_harmless: bool) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if is_harmless and isinstance(value, str | int | float):
        return plain(value) if isinstance(value, str) else value
    return GONE


def _properties(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """{properties: {key: value}} or the like, to any depth: only harmless keys keep their value."""
    if depth > DEEPEST:
        return {}
    out: dict[str, Any] = {}
    for key, value in facet.items():
        if isinstance(value, dict):
            out[_key(key)] = _properties(value, dialect, depth + 1)
        elif isinstance(value, list):
            out[_key(key)] = [
                _properties(v, dialect, depth + 1) if isinstance(v, dict) else _harmless(key, v, False)
                for v in value
            ]
        else:
            kept = bool(_HARMLESS_PROPERTY.match(key)) or (key == "name" and isinstance(value, str))
            out[_key(key)] = _harmless(key, value, kept)
    return out


_METRICS = {
    "rowCount", "bytes", "fileCount", "nullCount", "distinctCount", "count", "lastUpdated", "columnMetrics", "_producer",
    "_schemaURL", "_deleted", "size",
}  # fmt: skip


def _metrics(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Counts stay; smallest, largest, sum and quantiles are values from rows."""
    out: dict[str, Any] = {}
    for key, value in facet.items():
        if key == "columnMetrics" and isinstance(value, dict):
            out[key] = {
                c: {k: v for k, v in m.items() if k in _METRICS and (isinstance(v, int | float) or v is None)}
                for c, m in value.items()
                if isinstance(m, dict)
            }
        elif key in _METRICS and not isinstance(value, dict | list):
            out[key] = plain(value) if isinstance(value, str) else value
    return out


def _assertions(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    out = _object(facet, dialect, depth)
    for key in ("assertions", "tests"):
        checks = out.get(key)
        for check in checks if isinstance(checks, list) else ():
            if isinstance(check, dict) and isinstance(check.get("description"), str):
                check["description"] = redact_text(check["description"])
    return out


def _column_lineage(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Names stay, however a column is called; descriptions of transformations are SQL."""
    return {
        k: _columns(v, dialect, depth) if k in ("fields", "dataset") else _value(k, v, dialect, depth)
        for k, v in facet.items()
    }


def _columns(said: Any, dialect: str | None, depth: int) -> Any:
    if depth > DEEPEST:
        return None
    if isinstance(said, dict):
        return {
            k: redact_sql(v, dialect)
            if k in ("description", "transformationDescription") and isinstance(v, str)
            else _columns(v, dialect, depth + 1)
            for k, v in said.items()
        }
    if isinstance(said, list):
        return [_columns(v, dialect, depth + 1) for v in said]
    return plain_name(said) if isinstance(said, str) else said


def _schema(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    return {
        k: _schema_fields(v, depth) if k == "fields" else _value(k, v, dialect, depth)
        for k, v in facet.items()
    }


_PLAIN_FIELD = {"name", "type"}


def _schema_fields(said: Any, depth: int) -> Any:
    if isinstance(said, str):
        return plain_name(said)
    if depth > DEEPEST or not isinstance(said, dict | list):
        return said if not isinstance(said, dict | list) else None
    if isinstance(said, list):
        return [
            f
            if type(f) is dict and f.keys() <= _PLAIN_FIELD and "@" not in str(f.get("type"))
            else _schema_fields(f, depth + 1)
            for f in said
        ]
    return {
        k: plain(v) if k == "description" and isinstance(v, str) else _schema_fields(v, depth + 1)
        for k, v in said.items()
    }


def _subset(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Which part of a dataset was touched: the columns stay, the values of partitions and literals go."""
    return {k: v if k.startswith("_") else _subset_part(k, v, depth) for k, v in facet.items()}


def _subset_part(key: str, said: Any, depth: int) -> Any:
    if depth > DEEPEST:
        return None
    if isinstance(said, dict):
        return {k: _subset_part(k, v, depth + 1) for k, v in said.items()}
    if isinstance(said, list):
        return [_subset_part(key, v, depth + 1) for v in said]
    kept = key in ("type", "field", "comparison", "operator", "_producer", "_schemaURL") or said is None
    return said if kept or isinstance(said, bool) else GONE


_RULES: dict[str, Callable[[dict[str, Any], str | None, int], dict[str, Any]]] = {
    "sourceCode": _source_code,
    "environmentVariables": _environment,
    "spark_properties": _properties,
    "environment-properties": _properties,
    "unknownSourceAttribute": _properties,
    "dataQualityMetrics": _metrics,
    "dataQualityAssertions": _assertions,
    "test": _assertions,
    "columnLineage": _column_lineage,
    "schema": _schema,
    "subset": _subset,
    "inputSubset": _subset,
    "outputSubset": _subset,
}
