"""What a node is called and which mark stands for it, the same on every page and in every compact list. Pure but for
the names of the files in assets/icons.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ICONS = Path(__file__).resolve().parent.parent / "assets" / "icons"

SYSTEMS = {
    "postgres": "Postgres",
    "bigquery": "BigQuery",
    "mysql": "MySQL",
    "mssql": "SQL Server",
    "dbt": "dbt",
    "s3": "S3",
    "gs": "Cloud Storage",
    "hdfs": "HDFS",
    "duckdb": "DuckDB",
    "sqlite": "SQLite",
    "mongodb": "MongoDB",
    "clickhouse": "ClickHouse",
    "powerbi": "Power BI",
    "unitycatalog": "Unity Catalog",
    "cockroachdb": "CockroachDB",
    "api": "API",
    "file": "Files",
}
#: systems that have no mark of their own are drawn as what they are
_ALIKE = {
    "s3": "kind-bucket",
    "gs": "kind-bucket",
    "abfss": "kind-bucket",
    "wasbs": "kind-bucket",
    "oss": "kind-bucket",
}
_KINDS = {"stream": "topic", "project": "project", "notebook": "query", "sql": "query", "connector": "job"}


def system(name: str) -> str:
    """Postgres for postgres, BigQuery for bigquery."""
    return SYSTEMS.get(name, name[:1].upper() + name[1:])


def kind(node: Mapping[str, Any]) -> str:
    """What a person calls the node: 'Kafka topic', 'Airflow task', 'Postgres table'."""
    said = node["kind"] or node["type"]
    return system(node["system"]) + " " + said if node["system"] not in ("", "unknown") else said.capitalize()


@functools.cache
def icons() -> frozenset[str]:
    """The names of all icons."""
    return frozenset(p.stem for p in ICONS.glob("*.svg"))


@functools.cache
def mark_of(system: str, kind: str, type_: str) -> str:
    """The file that stands for a node: its system's mark, else its kind's."""
    if f"sys-{system}" in icons():
        return f"sys-{system}"
    if system in ("dbt", "api"):
        return f"kind-{system}"
    if kind not in ("table", "view", "topic", "dashboard") and system in _ALIKE:
        return _ALIKE[system]
    named = f"kind-{_KINDS.get(kind, kind)}"
    if named in icons():
        return named
    return "kind-job" if type_ == "job" else "kind-dataset"
