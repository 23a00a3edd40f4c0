"""Names as producers write them become the names that nodes are known by.

Everything here follows from one event alone (its names and facets) and the rules handed in, so that events fold
to the same nodes in any order. Pure: the rules come from the record, but are not read here.

Scheme, host, port and name follow OpenLineage's naming (spec/Naming.md); docs/naming.md says it for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from ingest.events import Facets
from ingest.openlineage import parse_time

DEFAULT_ENVIRONMENT = "default"

# ---------------------------------------------------------------- rules


def _default_ignore() -> tuple[str, ...]:
    return (
        r"(^|[./])pg_temp(_\d+)?\.",
        r"__dbt_(tmp|backup|new)\w*\"?$",
        r"\.dbt_cloud_pr_\w+\.",
        r"\.\w*_dbt_test__audit\.",
        r"\.(pr|ci)_\d+\w*\.",
        r"/_temporary(/|$)",
        r"/_spark_metadata(/|$)",
        r"[/.]tmp_spark_\w+",
        r"\.#\w+$",  # SQL Server's temporary tables
    )


#: Only where names are paths. A partition rule is applied until it changes nothing more.
_PATHS = r"^((?:file|s3|gs|hdfs|abfss|wasbs|adl|dbfs|oss|cos|viewfs|webhdfs|maprfs)\b.*?)"
_END = r"(?=/|$)"
_DAY = r"(?:19|20)\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"


def _default_partitions() -> tuple[tuple[str, str], ...]:
    return (
        (_PATHS + r"/[A-Za-z_][\w.-]*=[^/]*" + _END, r"\1"),
        (
            _PATHS
            + r"/(?:19|20)\d\d/(?:0[1-9]|1[0-2])(?:/(?:0[1-9]|[12]\d|3[01])(?:/(?:[01]\d|2[0-3]))?)?"
            + _END,
            r"\1",
        ),
        (_PATHS + r"/" + _DAY + r"(?:[T_-]?\d{2}(?:[:_-]?\d{2}){0,2}Z?)?" + _END, r"\1"),
        (_PATHS + r"/part[-.]\d+[^/]*$", r"\1"),
        (_PATHS + r"/(?:_delta_log(?:/[^/]*)?|_SUCCESS|_committed_\d+|_started_\d+)$", r"\1"),
        (
            _PATHS + r"([_-])" + _DAY + r"(?:[T_-]?\d{2}(?:[:_-]?\d{2}){1,2}Z?)?(?=\.[A-Za-z]\w*(?:\.\w+)?$)",
            r"\1\2*",
        ),
        (r"^(bigquery/.+)\$\d{4,10}$", r"\1"),
        (r"^(bigquery/.+_)" + _DAY.replace("-?", "") + r"$", r"\1*"),
    )


@dataclass(frozen=True, eq=False)
class Rules:
    """What admins say about names, on top of what the systems themselves define.

    ``host_aliases``: (producer or None for all, host[:port] or a whole namespace) → the true host[:port], or a
    whole namespace. ``default_schemas``: (namespace glob, 'schema' or 'database.schema'), the first that matches.
    ``ignore``: regular expressions searched in 'namespace/name'. ``environments``: (regular expression searched in
    the namespace, environment). ``partitions``: (regular expression over 'namespace/name', replacement).

    A Rules holds a cache of the names it has read: keep one while the rules stay the same.
    """

    host_aliases: Mapping[tuple[str | None, str], str] = field(default_factory=dict)
    default_schemas: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()
    environments: tuple[tuple[str, str], ...] = ()
    partitions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def default(cls) -> Rules:
        return cls(ignore=_default_ignore(), partitions=_default_partitions())

    def plus(
        self,
        *,
        host_aliases: Mapping[tuple[str | None, str], str] | None = None,
        default_schemas: Iterable[tuple[str, str]] = (),
        ignore: Iterable[str] = (),
        environments: Iterable[tuple[str, str]] = (),
        partitions: Iterable[tuple[str, str]] = (),
    ) -> Rules:
        """These rules and more; the added ones come first where the first match decides."""
        return Rules(
            {**self.host_aliases, **(host_aliases or {})},
            (*default_schemas, *self.default_schemas),
            (*self.ignore, *ignore),
            (*environments, *self.environments),
            (*partitions, *self.partitions),
        )

    @cached_property
    def _ignore(self) -> re.Pattern[str] | None:
        good = [p for p in self.ignore if _compiles(p)]
        return re.compile("|".join(f"(?:{p})" for p in good), re.IGNORECASE) if good else None

    @cached_property
    def _environments(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(p), name) for p, name in self.environments if _compiles(p)]

    @cached_property
    def _partitions(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(p), r) for p, r in self.partitions if _compiles(p)]

    @cached_property
    def _read(self) -> dict[tuple[str, str, str], _Place]:
        return {}


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


# ---------------------------------------------------------------- systems


@dataclass(frozen=True)
class System:
    """How a system writes names. ``parts``: of a full name (0: not dotted). ``fold``: what unquoted names become."""

    name: str
    port: int | None = None
    parts: int = 0
    fold: str = "keep"  # lower, upper, keep
    kind: str = "table"
    path: bool = False
    hosted: bool = True  # the namespace names a host


_SYSTEMS = {
    s.name: s
    for s in (
        System("postgres", 5432, 3, "lower"),
        System("redshift", 5439, 3, "lower"),
        System("cockroachdb", 26257, 3, "lower"),
        System("mysql", 3306, 2),
        System("mssql", 1433, 3, "lower"),
        System("oracle", 1521, 3, "upper"),
        System("db2", 50000, 3, "upper"),
        System("snowflake", None, 3, "upper"),
        System("bigquery", None, 3, "keep", hosted=False),
        System("spanner", None, 0, "keep"),
        System("trino", 8080, 3, "lower"),
        System("athena", None, 3, "lower"),
        System("databricks", None, 0, "lower"),
        System("unitycatalog", None, 3, "lower"),
        System("hive", 9083, 2, "lower"),
        System("glue", None, 0, "lower", hosted=False),
        System("clickhouse", 8123, 2),
        System("cassandra", 9042, 2, "lower"),
        System("teradata", 1025, 2, "upper"),
        System("vertica", 5433, 3, "lower"),
        System("mongodb", 27017, 2, kind="collection"),
        System("elasticsearch", 9200, 0, kind="index"),
        System("sqlite", None, 0, "lower", hosted=False),
        System("duckdb", None, 0, "lower", hosted=False),
        System("kafka", 9092, 0, kind="topic"),
        System("pubsub", None, 0, kind="topic", hosted=False),
        System("kinesis", None, 0, kind="topic"),
        System("rabbitmq", 5672, 0, kind="topic"),
        System("file", None, 0, kind="file", path=True),
        System("s3", None, 0, kind="file", path=True),
        System("gs", None, 0, kind="file", path=True),
        System("hdfs", 8020, 0, kind="file", path=True),
        System("abfss", None, 0, kind="file", path=True),
        System("wasbs", None, 0, kind="file", path=True),
        System("adl", None, 0, kind="file", path=True),
        System("dbfs", None, 0, kind="file", path=True),
        System("oss", None, 0, kind="file", path=True),
        System("cos", None, 0, kind="file", path=True),
        System("sftp", 22, 0, kind="file", path=True),
        System("https", None, 0, kind="api"),
        System("looker", None, 0, kind="dashboard"),
        System("tableau", None, 0, kind="dashboard"),
        System("metabase", None, 0, kind="dashboard"),
        System("superset", None, 0, kind="dashboard"),
        System("powerbi", None, 0, kind="dashboard"),
        System("grafana", None, 0, kind="dashboard"),
        System("redis", 6379, 0, kind="keyspace"),
    )
}

_SYNONYMS = {
    "postgresql": "postgres",
    "pg": "postgres",
    "pgsql": "postgres",
    "greenplum": "postgres",
    "cockroach": "cockroachdb",
    "mariadb": "mysql",
    "aurora": "mysql",
    "sqlserver": "mssql",
    "tsql": "mssql",
    "awsathena": "athena",
    "prestodb": "trino",
    "presto": "trino",
    "hive2": "hive",
    "thrift": "hive",
    "s3a": "s3",
    "s3n": "s3",
    "gcs": "gs",
    "abfs": "abfss",
    "wasb": "wasbs",
    "webhdfs": "hdfs",
    "mongo": "mongodb",
    "mongodb+srv": "mongodb",
    "kafka+ssl": "kafka",
    "http": "https",
    "rediss": "redis",
}
_UNKNOWN = System("unknown", hosted=False, kind="dataset")


def system_of(namespace: str) -> str:
    """The system a namespace (normalised or not) speaks of; 'unknown' where it does not say."""
    return _split(namespace)[0].name


# ---------------------------------------------------------------- datasets


@dataclass(frozen=True)
class Named:
    """A dataset's name as DLV keeps it. ``unresolved`` says why the name may not be whole and what was tried."""

    environment: str
    namespace: str
    name: str
    kind: str
    kind_rank: int
    system: str
    unresolved: str | None = None
    symlinks: tuple[tuple[str, str, str], ...] = ()  # (namespace, name, type), normalised, never chained


@dataclass(frozen=True)
class _Place:
    namespace: str
    name: str
    system: System
    unresolved: str | None
    ignored: bool


def dataset(namespace: str, name: str, facets: Facets, rules: Rules, producer: str) -> Named | None:
    """Read a dataset's name; None where a rule ignores it (temporary tables, pull-request schemas).

    ``producer`` is the name of the API key's producer: its loopback hosts are told from those of others.
    """
    place = _place(namespace, name, rules, producer)
    if place.ignored or _is_temporary(facets):
        return None
    kind, rank = _dataset_kind(place, facets)
    return Named(
        environment(place.namespace, rules),
        place.namespace,
        place.name,
        kind,
        rank,
        place.system.name,
        place.unresolved,
        _symlinks(place, facets, rules, producer),
    )


def environment(namespace: str, rules: Rules, of_key: str | None = None) -> str:
    """``of_key`` (a job's producer may have one) wins; then the first pattern; then 'default'."""
    if of_key:
        return of_key
    for pattern, name in rules._environments:
        if pattern.search(namespace):
            return name
    return DEFAULT_ENVIRONMENT


def _place(namespace: str, name: str, rules: Rules, producer: str) -> _Place:
    key = (namespace, name, producer)
    seen = rules._read.get(key)
    if seen is None:
        if len(rules._read) > 50_000:
            rules._read.clear()
        seen = rules._read[key] = _settled(namespace, name, rules, producer)
    return seen


def _settled(namespace: str, name: str, rules: Rules, producer: str) -> _Place:
    """Read until reading changes nothing: a name already read is read as itself, whatever it was made of."""
    place = first = _read_place(namespace, name, rules, producer)
    for _ in range(5):
        again = _read_place(place.namespace, place.name, rules, producer)
        if (again.namespace, again.name) == (place.namespace, place.name):
            break
        place = again
    return replace(
        place, unresolved=place.unresolved or first.unresolved, ignored=place.ignored or first.ignored
    )


def _read_place(namespace: str, name: str, rules: Rules, producer: str) -> _Place:
    whole = _alias(rules, producer, namespace.strip())
    if whole and _has_scheme(whole):
        namespace = whole
    system, host, rest = _split(namespace)
    unresolved = None
    if system.path:
        namespace, name = _path_name(system, host, rest, name)
    elif system is _UNKNOWN:
        namespace = _strip_userinfo(namespace.strip())
        quoted = '"' in name or "`" in name
        name = _dotted(name, system)
        if quoted:
            unresolved = (
                f"'{name}' is a table's name, but the namespace '{namespace}' does not say in which system; "
                f"tried: a host alias for {namespace} (none configured)"
            )
    else:
        namespace = _host_namespace(system, host, rest, rules, producer)
        name = _dotted(name, system) if system.parts or system.fold != "keep" else name.strip()
    if system.parts:
        name, unresolved = _complete(system, namespace, name, rest, rules)
    name = _fold_partitions(namespace, name, rules)
    ignored = bool(rules._ignore and rules._ignore.search(f"{namespace}/{name}"))
    return _Place(namespace, name or "/", system, unresolved, ignored)


_SCHEME = re.compile(r"^(?:jdbc:)?([A-Za-z][A-Za-z0-9+.-]*):(.*)$", re.S)
_JDBC_ORACLE = re.compile(r"^thin:(?:[^@]*)@(?://)?(.*)$")


def _has_scheme(namespace: str) -> bool:
    return bool(_SCHEME.match(namespace))


def _split(namespace: str) -> tuple[System, str, str]:
    """(system, authority, rest) of a namespace. Rest is what follows the authority: a path, or a JDBC database."""
    text = namespace.strip()
    lower = text.lower()
    if lower in _SYNONYMS or lower in _SYSTEMS:
        return _SYSTEMS[_SYNONYMS.get(lower, lower)], "", ""
    if lower.startswith(("arn:aws:glue:", "aws:glue:")):
        return _SYSTEMS["glue"], lower, ""
    match = _SCHEME.match(text)
    if not match:
        return _UNKNOWN, "", ""
    scheme = match[1].lower()
    scheme = _SYNONYMS.get(scheme, scheme)
    system = _SYSTEMS.get(scheme) or _SYSTEMS.get(_SYNONYMS.get(scheme.split("+")[0], scheme.split("+")[0]))
    if system is None:
        authority, rest = _authority(match[2])
        known = bool(authority.rpartition("@")[2].strip(",; ")) and scheme != "jdbc"
        return (System(scheme, kind="dataset"), authority, rest) if known else (_UNKNOWN, "", "")
    after = match[2]
    if lower.startswith("jdbc:"):
        oracle = _JDBC_ORACLE.match(after) if system.name == "oracle" else None
        after = "//" + oracle[1] if oracle else after
        after = _jdbc_database(after)
    return system, *_authority(after)


def _authority(after: str) -> tuple[str, str]:
    if not after.startswith("//"):
        return "", after
    host, slash, rest = after[2:].partition("/")
    return host, slash + rest


def _jdbc_database(after: str) -> str:
    """JDBC's ways to name the database (;databaseName=x, ?db=x, host:port:sid) as a path."""
    found = re.search(r"[;?&](?:databaseName|database|db)=([^;&]+)", after, re.I)
    base = re.split(r"[;?]", after, maxsplit=1)[0]
    sid = re.match(r"^(//[^/:]+:\d+):(\w+)$", base)
    if sid:
        base = f"{sid[1]}/{sid[2]}"
    return f"{base.rstrip('/')}/{found[1]}" if found else base


def _strip_userinfo(text: str) -> str:
    return re.sub(r"(://)[^/@\s]*@", r"\1", text)


_LOOPBACK = re.compile(r"^(?:localhost|localhost\.localdomain|127(?:\.\d{1,3}){3}|\[?::1\]?|0\.0\.0\.0)$")


def _host_namespace(system: System, authority: str, rest: str, rules: Rules, producer: str) -> str:
    if not system.hosted:
        if system.name in ("sqlite", "duckdb"):
            path = re.sub(r"/{2,}", "/", re.split(r"[?;]", (authority + rest), maxsplit=1)[0])
            return f"{system.name}:{path}" if path else system.name
        if system.name == "glue":
            return authority or system.name
        return system.name
    authority = authority.rpartition("@")[2]
    hosts = sorted({_host(h, system, rules, producer) for h in re.split(r"[,;]", authority) if h.strip()})
    if not hosts:
        return system.name
    host = hosts[0]
    if system.name == "snowflake":
        host = host.removesuffix(".snowflakecomputing.com")
    return f"{system.name}://{host}"


def _host(text: str, system: System, rules: Rules, producer: str) -> str:
    host, port = _host_port(text.strip().lower(), system)
    if _LOOPBACK.match(host):
        host = "localhost"
    true = _alias(rules, producer, f"{host}:{port}" if port else host) or _alias(rules, producer, host)
    if true:
        host, given = _host_port(true.strip().lower(), System(system.name))
        port = given or port
    if _LOOPBACK.match(host):
        # everybody's loopback is another machine: it joins only within one producer
        host = f"localhost.{_slug(producer)}"
    return f"{host}:{port}" if port else host


def _host_port(text: str, system: System) -> tuple[str, str]:
    match = re.match(r"^(\[[^\]]*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$", text)
    host, port = (match[1], match[2]) if match else (text, None)
    return host.rstrip("."), port or (str(system.port) if system.port else "")


def _slug(producer: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", producer.lower()).strip("-") or "unknown"


def _alias(rules: Rules, producer: str, key: str) -> str | None:
    if not rules.host_aliases:
        return None
    keys = {key, key.replace("localhost", "127.0.0.1", 1)} if key.startswith("localhost") else {key}
    for who in (producer, None):
        for one in sorted(keys):
            if (who, one) in rules.host_aliases:
                return rules.host_aliases[(who, one)]
    return None


# -- dotted names

_PART = re.compile(r'"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([^\]]*)\]|([^.]+)|(?<=\.)(?=\.)')


def parts_of(name: str) -> list[tuple[str, bool]]:
    """(part, whether it was quoted) of a dotted name."""
    found = []
    for m in _PART.finditer(name.strip()):
        if m[1] is not None:
            found.append((m[1].replace('""', '"'), True))
        elif m[2] is not None:
            found.append((m[2].replace("``", "`"), True))
        elif m[3] is not None:
            found.append((m[3], True))
        elif m[4]:
            found.append((m[4].strip(), False))
    return [(p, q) for p, q in found if p]


#: Quoting changes nothing there: names differ by more than case.
_CASELESS = {"mssql", "duckdb", "sqlite", "hive", "glue", "trino", "athena", "databricks", "unitycatalog"}


def split(name: str) -> list[str]:
    """The parts of a normalised dotted name, each still quoted where it is."""
    return [m[0] for m in re.finditer(r'"(?:[^"]|"")*"|[^."]+', name)]


def _fold(part: str, quoted: bool, system: System) -> str:
    """One part as DLV writes it: unquoted where unquoted means the same, else in double quotes."""
    folded = part.lower() if system.fold == "lower" else part.upper() if system.fold == "upper" else part
    if not quoted or system.name in _CASELESS:
        part = folded
    if "." in part or '"' in part or part != folded:
        return '"' + part.replace('"', '""') + '"'
    return part


def _dotted(name: str, system: System) -> str:
    name = name.strip()
    if system.name == "bigquery":
        name = re.sub(r"^([\w-]+):(?=\w+\.)", r"\1.", name)  # project:dataset.table, the legacy way
    if system.fold == "keep" and not re.search(r'["`\[]', name):
        return name
    return ".".join(_fold(p, q, system) for p, q in parts_of(name)) or name


def _complete(system: System, namespace: str, name: str, rest: str, rules: Rules) -> tuple[str, str | None]:
    """A name with too few parts, completed by the namespace's own database or a configured default; or why not."""
    parts = split(name)
    if len(parts) >= system.parts or not parts:
        return name, None
    database = unquote(rest.strip("/").split("/")[0]) if rest.strip("/") else ""
    if database:
        database = _dotted(database, system)
        if parts[0] != database and len(parts) == system.parts - 1:
            return f"{database}.{name}", None
    if system.parts < 3:
        default = _default_schema(namespace, rules)
        return (
            (f"{_dotted(default.split('.')[-1], system)}.{name}", None)
            if default
            else (name, _why(system, name, namespace))
        )
    default = _default_schema(namespace, rules)
    if default is None:
        return name, _why(system, name, namespace)
    given = [_dotted(p, system) for p in default.split(".")]
    if len(given) == 1:
        given = [database, *given]
    if len(parts) == 1:
        if given[0]:
            return f"{given[0]}.{given[-1]}.{parts[0]}", None
        return name, _why(system, name, namespace, f"the default schema '{default}' names no database")
    if len(parts) == 2:
        if not given[0] or parts[0] == given[0]:
            return f"{parts[0]}.{given[-1]}.{parts[1]}", None
        if parts[0] == given[-1]:
            return f"{given[0]}.{name}", None
        return name, _why(system, name, namespace, f"'{parts[0]}' is neither part of the default '{default}'")
    return name, None


def _default_schema(namespace: str, rules: Rules) -> str | None:
    for glob, value in rules.default_schemas:
        if value and fnmatchcase(namespace, glob):
            return value
    return None


def _why(system: System, name: str, namespace: str, more: str = "") -> str:
    wanted = {2: "database.table", 3: "database.schema.table"}[system.parts]
    tried = (
        more
        or f"tried: the namespace's own database (none), a default schema for {namespace} (none configured)"
    )
    return f"'{name}' is not a full {system.name} name ({wanted}); {tried}"


# -- paths


def _path_name(system: System, authority: str, rest: str, name: str) -> tuple[str, str]:
    """(namespace, name) of a file: the bucket or host in the namespace, the path in the name."""
    name = name.strip()
    inner = _SCHEME.match(name)
    if (
        inner
        and inner[2].startswith("/")
        and _SYNONYMS.get(inner[1].lower(), inner[1].lower()) == system.name
    ):
        # the whole URL in the name, as some operators write it
        authority, rest = _authority(inner[2])
        if system.name == "file" and not authority:
            rest = rest or inner[2]
        name = ""
    if rest.strip("/"):
        joined = f"{rest.rstrip('/')}/{name}" if name else rest
    else:
        joined = f"{rest}/{name}" if rest else name
    joined = re.sub(r"/{2,}", "/", joined)
    joined = joined.rstrip("/")
    if system.name == "file":
        host = authority.lower()
        namespace = "file" if not host or _LOOPBACK.match(host) else f"file://{host}"
        if rest.strip("/") and name and not name.startswith("/") and "/" not in name:
            # Spark's symlink of a table in a warehouse folder: (file:/warehouse, db.table)
            return f"file:{re.sub(r'/{2,}', '/', rest).rstrip('/')}", name
        return namespace, joined or "/"
    if system.name in ("abfss", "wasbs"):
        namespace = f"{system.name}://{authority.lower()}"
    elif system.name == "dbfs":
        namespace = "dbfs" if not authority else f"dbfs://{authority}"
    else:
        authority = authority.rpartition("@")[2]
        host, port = _host_port(authority.lower(), system) if system.port else (authority.lower(), "")
        namespace = f"{system.name}://{host}:{port}" if port and host else f"{system.name}://{host}"
    if system.name in ("hdfs", "dbfs", "sftp"):
        return namespace, "/" + joined.lstrip("/")
    return namespace, joined.lstrip("/") or "/"


def _fold_partitions(namespace: str, name: str, rules: Rules) -> str:
    whole = f"{namespace}/{name}"
    for _ in range(12):
        before = whole
        for pattern, replacement in rules._partitions:
            try:
                folded = pattern.sub(replacement, whole, count=1)
            except (re.error, IndexError):
                continue
            if folded.startswith(namespace):
                whole = folded
        if whole == before:
            break
    return whole[len(namespace) + 1 :] if whole.startswith(f"{namespace}/") else ""


# -- kind and symlinks


def _get(facets: Any, *path: str) -> Any:
    for key in path:
        facets = facets.get(key) if isinstance(facets, dict) else None
    return facets


def _str(facets: Any, *path: str) -> str:
    value = _get(facets, *path)
    return value.strip() if isinstance(value, str) else ""


def _is_temporary(facets: Facets) -> bool:
    return _str(facets, "datasetType", "subType").upper() in ("TEMPORARY", "TEMP")


_DATASET_KINDS = {
    "TABLE": "table", "VIEW": "view", "TOPIC": "topic", "MODEL": "model", "FILE": "file", "DIRECTORY": "file",
    "DASHBOARD": "dashboard", "STREAM": "topic", "COLLECTION": "collection", "QUEUE": "topic",
}  # fmt: skip
_MATERIALIZED = {
    "table": "table", "incremental": "table", "snapshot": "table", "seed": "table", "view": "view",
    "materialized_view": "materialized view", "ephemeral": "ephemeral", "external": "file",
}  # fmt: skip


def _dataset_kind(place: _Place, facets: Facets) -> tuple[str, int]:
    said = _str(facets, "datasetType", "datasetType").upper()
    if said:
        materialized = said == "VIEW" and _str(facets, "datasetType", "subType").upper() == "MATERIALIZED"
        return ("materialized view" if materialized else _DATASET_KINDS.get(said, said.lower()[:40])), 4
    dbt = _str(facets, "dbt_model", "config", "materialized").lower()
    if dbt:
        return _MATERIALIZED.get(dbt, dbt[:40]), 3
    identifiers = _get(facets, "symlinks", "identifiers")
    if isinstance(identifiers, list) and any(_str(i, "type").upper() == "TABLE" for i in identifiers):
        return "table", 2
    if _str(facets, "storage", "storageLayer").lower() in ("iceberg", "delta", "hudi", "paimon"):
        return "table", 2
    if place.namespace.startswith("file:/") and not place.namespace.startswith("file://"):
        return "table", 1  # a table of a warehouse folder
    return place.system.kind, 0 if place.system.kind == "dataset" else 1


def _symlinks(place: _Place, facets: Facets, rules: Rules, producer: str) -> tuple[tuple[str, str, str], ...]:
    identifiers = _get(facets, "symlinks", "identifiers")
    if not isinstance(identifiers, list):
        return ()
    found = set()
    for one in identifiers[:50]:
        namespace, name = _str(one, "namespace"), _str(one, "name")
        if not name:
            continue
        other = _place(namespace, name, rules, producer)
        if not other.ignored and (other.namespace, other.name) != (place.namespace, place.name):
            found.add((other.namespace, other.name, _str(one, "type").upper() or "TABLE"))
    return tuple(sorted(found))


# ---------------------------------------------------------------- jobs


@dataclass(frozen=True)
class NamedJob:
    """A job's name as DLV keeps it, and what its event says of the run."""

    environment: str
    namespace: str
    name: str
    kind: str
    kind_rank: int
    system: str
    same_as: tuple[
        tuple[str, str], ...
    ] = ()  # other names of the same job by a naming rule, this event's among them
    sub: bool = False  # a query inside its job: its run is kept, not counted
    is_test: bool = False  # a dbt test: no node, its assertions belong to the datasets it reads
    parent: tuple[str, str] | None = None
    parent_kind: str = "job"
    parent_environment: str | None = None
    streaming: bool = False
    trigger: str = "unknown"  # scheduled, manual, backfill, unknown
    try_number: int | None = None
    max_tries: int | None = None
    nominal: tuple[datetime | None, datetime | None] = (None, None)
    log_url: str | None = None
    engine: str = ""


def job(
    namespace: str,
    name: str,
    facets: Facets,
    run_facets: Facets,
    rules: Rules,
    producer_env: str | None,
    producer_uri: str = "",
) -> NamedJob | None:
    """Read a job's name and run; None where a rule ignores it. ``producer_env`` is the environment of the API key."""
    namespace = _strip_userinfo(namespace.strip()) or "default"
    name = name.strip()
    system = _job_system(namespace, facets, run_facets, producer_uri)
    sent = name
    name, sub = _without_query(name, system, facets, run_facets)
    is_test = False
    if system == "dbt":
        name, is_test = _dbt_name(name, facets, sub)
    if not is_test and _is_ignored_job(namespace, (name, sent, _dbt_relation(facets)), rules):
        return None
    kind, rank = _job_kind(system, name, facets, sub)
    parent = _parent(namespace, name, system, run_facets, sub)
    airflow = airflow_facet(run_facets)
    return NamedJob(
        environment=environment(namespace, rules, producer_env),
        namespace=namespace,
        name=name,
        kind=kind,
        kind_rank=rank,
        system=system,
        same_as=((namespace, sent),) if sent != name and not is_test else (),
        sub=sub,
        is_test=is_test,
        parent=parent,
        parent_kind=_parent_kind(system, kind) if parent else "job",
        parent_environment=environment(parent[0], rules, producer_env) if parent else None,
        streaming=_str(facets, "jobType", "processingType").upper() == "STREAMING",
        trigger=_trigger(airflow),
        try_number=_count(_get(airflow, "taskInstance", "try_number")),
        max_tries=_max_tries(airflow),
        nominal=_nominal(run_facets, airflow),
        log_url=_log_url(run_facets, airflow),
        engine=_engine(run_facets),
    )


def _is_ignored_job(namespace: str, names: Iterable[str], rules: Rules) -> bool:
    return rules._ignore is not None and any(rules._ignore.search(f"{namespace}/{n}") for n in names if n)


def _dbt_relation(facets: Facets) -> str:
    """Where a dbt model builds: a pull request's schema makes its job throw-away too."""
    parts = [_str(facets, "dbt_node", key) for key in ("database", "schema", "alias")]
    return ".".join(parts) if parts[1] else ""


_INTEGRATIONS = {
    "AIRFLOW",
    "DBT",
    "SPARK",
    "FLINK",
    "TRINO",
    "DAGSTER",
    "SQLMESH",
    "DLT",
    "HIVE",
    "KAFKA",
    "PREFECT",
}
_PRODUCERS = re.compile(
    r"(airflow|dbt|spark|flink|trino|dagster|sqlmesh|dlt|hive|debezium|prefect|keboola|snowflake)", re.I
)


def _job_system(namespace: str, facets: Facets, run_facets: Facets, producer_uri: str) -> str:
    said = _str(facets, "jobType", "integration")
    if said:
        return said.lower()[:40]
    if "dbt_node" in facets or "dbt_run" in run_facets or "dbt_version" in run_facets:
        return "dbt"
    if any(k in run_facets for k in ("airflow", "airflowDagRun", "airflow_version", "airflow_runArgs")):
        return "airflow"
    if any(k.startswith("spark") for k in run_facets):
        return "spark"
    engine = _str(run_facets, "processing_engine", "name").lower()
    if engine.upper() in _INTEGRATIONS:
        return engine
    found = _PRODUCERS.findall(producer_uri.replace("OpenLineage/OpenLineage", ""))
    if found:
        return str(found[-1]).lower()
    scheme = _SCHEME.match(namespace)
    return scheme[1].lower() if scheme else "unknown"


_QUERY = re.compile(r"^(.+)\.(?:query|sql)\.\d+$", re.S)


def _without_query(name: str, system: str, facets: Facets, run_facets: Facets) -> tuple[str, bool]:
    match = _QUERY.match(name)
    if not match:
        return name, False
    known = system in ("airflow", "dbt") or _str(facets, "jobType", "jobType").upper() in ("QUERY", "SQL")
    return (
        (match[1], True) if known or _str(run_facets, "parent", "job", "name") == match[1] else (name, False)
    )


_DBT_TYPES = ("model", "seed", "snapshot", "test", "source", "operation", "analysis", "unit_test", "function")
_DBT_SUFFIX = re.compile(r"^(.+?)(?:\.build)?\.(run|test|snapshot|seed)$", re.S)


def _dbt_name(name: str, facets: Facets, sub: bool) -> tuple[str, bool]:
    """dbt's unique id (``model.project.model``) from any of the three ways dbt-ol names a model; and if it is a test.

    The ways: ``database.schema.project.model[.build].run|snapshot|test`` (default mode), the unique id (structured
    logs), and that with ``.sql.N`` (its queries; taken off before).
    """
    job_type = _str(facets, "jobType", "jobType").upper()
    unique_id = _str(facets, "dbt_node", "unique_id")
    if job_type == "TEST" or unique_id.startswith(("test.", "unit_test.")):
        return unique_id or name, True
    if unique_id:
        return unique_id, False
    first = name.split(".", 1)[0]
    if first in ("test", "unit_test") and name.count(".") >= 2:
        return name, True
    if (
        first in _DBT_TYPES
        and name.count(".") >= 2
        and (name.count(".") == 2 or sub or job_type in ("MODEL", "SQL"))
    ):
        return name, False
    if job_type in ("JOB", "PROJECT", "COMMAND"):
        return name, False
    match = _DBT_SUFFIX.match(name)
    verb = match[2] if match and name.count(".") >= 4 else ""
    if verb == "test":
        return name, True
    bare = match[1] if match and verb else name
    parts = bare.split(".")
    if len(parts) < 4:
        return name, False
    node_type = {"snapshot": "snapshot", "seed": "seed"}.get(verb, "model")
    return f"{node_type}.{'.'.join(parts[2:])}", False


_JOB_KINDS = {
    "DAG": "dag", "TASK": "task", "QUERY": "query", "SQL": "query", "SQL_JOB": "query", "RDD_JOB": "rdd",
    "APPLICATION": "application", "MODEL": "model", "SNAPSHOT": "snapshot", "SEED": "seed", "COMMAND": "command",
    "CONNECTOR": "connector", "STREAMING": "stream", "PIPELINE": "pipeline", "ASSET": "asset",
}  # fmt: skip


def _job_kind(system: str, name: str, facets: Facets, sub: bool) -> tuple[str, int]:
    if system == "dbt":
        first = name.split(".", 1)[0]
        if first in _DBT_TYPES and "." in name:
            return first, 3
        if _str(facets, "jobType", "jobType").upper() in ("JOB", "PROJECT", "COMMAND"):
            return "project", 3
    said = _str(facets, "jobType", "jobType").upper()
    if sub:
        return ("task", 1) if system == "airflow" else ("job", 0)
    if said:
        return _JOB_KINDS.get(said, said.lower()[:40]), 2
    if system == "airflow":
        return ("task", 1) if "." in name else ("dag", 1)
    return "job", 0


def _parent_kind(system: str, kind: str) -> str:
    if system == "airflow":
        return "dag"
    if system == "spark" and kind != "application":
        return "application"
    if system == "dbt" and kind != "project":
        return "project"
    return "job"


def _parent(namespace: str, name: str, system: str, run_facets: Facets, sub: bool) -> tuple[str, str] | None:
    """The job's parent by the parent facet; of a query inside its job, that job's own parent: the root."""
    parent = run_facets.get("parent")
    legacy = run_facets.get("parentRun")
    said = parent if isinstance(parent, dict) else legacy
    for where in (("job",), ("root", "job")):
        other = _str(said, *where, "name")
        of = _strip_userinfo(_str(said, *where, "namespace")) or namespace
        if not other:
            continue
        other = _without_query(other, system, {}, {})[0]
        if system == "dbt" and sub:
            other = _dbt_name(other, {}, sub)[0]
        if (of, other) != (namespace, name):
            return of, other
    if system == "airflow" and "." in name:
        return namespace, name.split(".", 1)[0]
    return None


def airflow_facet(run_facets: Facets) -> dict[str, Any]:
    """What Airflow says of the run, of a task or of the whole DAG; empty where it says nothing."""
    for key in ("airflow", "airflowDagRun"):
        facet = run_facets.get(key)
        if isinstance(facet, dict):
            return facet
    return {}


_TRIGGERS = {
    "manual": "manual", "backfill": "backfill", "backfill_job": "backfill", "scheduled": "scheduled",
    "asset_triggered": "scheduled", "dataset_triggered": "scheduled", "asset_materialization": "manual",
    "operator_triggered": "scheduled",
}  # fmt: skip


def _trigger(airflow: dict[str, Any]) -> str:
    run_type = _str(airflow, "dagRun", "run_type").lower()
    prefix = _str(airflow, "dagRun", "run_id").split("__", 1)[0].lower()
    return _TRIGGERS.get(run_type) or _TRIGGERS.get(prefix) or "unknown"


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value.strip()[:5])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 32000:
        return value
    return None


def _max_tries(airflow: dict[str, Any]) -> int | None:
    """Airflow counts retries after the first try."""
    retries = _count(_get(airflow, "task", "retries"))
    return None if retries is None else min(retries + 1, 32000)


def _nominal(run_facets: Facets, airflow: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    start = parse_time(_get(run_facets, "nominalTime", "nominalStartTime"))
    end = parse_time(_get(run_facets, "nominalTime", "nominalEndTime"))
    if start is None:
        start = parse_time(_get(airflow, "dagRun", "data_interval_start"))
        end = parse_time(_get(airflow, "dagRun", "data_interval_end")) if start else end
    return start, end


def _log_url(run_facets: Facets, airflow: dict[str, Any]) -> str | None:
    for url in (
        _str(airflow, "taskInstance", "log_url"),
        _str(run_facets, "spark_applicationDetails", "historyUrl"),
        _str(run_facets, "spark_applicationDetails", "uiWebUrl"),
        _str(run_facets, "externalQuery", "url"),
        _str(run_facets, "log", "url"),
    ):
        if re.match(r"^https?://[^\s\"'<>]+$", url):
            return url[:2000]
    return None


def _engine(run_facets: Facets) -> str:
    name = _str(run_facets, "processing_engine", "name")
    version = _str(run_facets, "processing_engine", "version")
    return f"{name} {version}".strip()[:100]
