"""A shop's estate as OpenLineage events: Airflow, Spark, Kafka, dbt, Postgres, dashboards; one job of it fails.

`load_payments` failed an hour ago; `stg_payments`, made after it, failed too (a symptom); what lies below is at risk.
`raw.events` is read by sixty small jobs: a fan that the canvas folds.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest import fold
from store import events
from store.record import Record

PG = "postgres://shop-db:5432"
KAFKA = "kafka://broker:9092"
LOOKER = "looker://bi.shop.example"
AIRFLOW, SPARK, DBT = "airflow-prod", "spark-prod", "dbt-prod"

ERROR = "java.lang.OutOfMemoryError: Java heap space in stage 7 (attempt 3 of 3)"
LOG = "https://airflow.shop.example/dags/payments_daily/runs/42/tasks/load_payments/logs"

_COLUMNS = {
    "payments": ["payment_id", "order_id", "amount", "currency", "paid_at"],
    "orders": ["order_id", "customer_id", "total", "placed_at"],
}
OWNERS = {
    "raw": "Ingest",
    "analytics.stg": "Analytics engineering",
    "analytics.fct": "Finance data",
    "analytics.dim": "Analytics engineering",
}

#: job: (namespace, name, parent, inputs, outputs); datasets as 'namespace|name'
Job = tuple[str, str, str, list[str], list[str]]


def pg(name: str) -> str:
    return f"{PG}|shop.{name}"


def jobs() -> list[Job]:
    t, d = (lambda n: f"{KAFKA}|{n}"), (lambda n: f"{LOOKER}|{n}")
    out: list[Job] = [
        (AIRFLOW, "payments_daily.extract_payments", "payments_daily", [t("payments.events")], [pg("raw.payments_landing")]),
        (AIRFLOW, "payments_daily.load_payments", "payments_daily", [pg("raw.payments_landing")], [pg("raw.payments")]),
        (AIRFLOW, "orders_hourly.load_orders", "orders_hourly", [t("orders.v2")], [pg("raw.orders")]),
        (AIRFLOW, "crm_sync.load_customers", "crm_sync", [pg("crm.customers")], [pg("raw.customers")]),
        (SPARK, "sessionize", "clickstream", [t("clickstream.raw")], [pg("raw.sessions")]),
        (DBT, "stg_payments", "shop_dbt", [pg("raw.payments")], [pg("analytics.stg_payments")]),
        (DBT, "stg_orders", "shop_dbt", [pg("raw.orders")], [pg("analytics.stg_orders")]),
        (DBT, "dim_customer", "shop_dbt", [pg("raw.customers")], [pg("analytics.dim_customer")]),
        (DBT, "fct_orders", "shop_dbt", [pg("analytics.stg_orders"), pg("analytics.stg_payments"), pg("analytics.dim_customer")], [pg("analytics.fct_orders")]),
        (DBT, "fct_payments", "shop_dbt", [pg("analytics.stg_payments"), pg("analytics.stg_orders")], [pg("analytics.fct_payments")]),
        (DBT, "fct_sessions", "shop_dbt", [pg("raw.sessions")], [pg("analytics.fct_sessions")]),
        (SPARK, "fraud_features", "fraud", [pg("analytics.fct_payments"), pg("raw.sessions")], [pg("ml.fraud_features")]),
        (AIRFLOW, "bi_refresh.revenue_daily", "bi_refresh", [pg("analytics.fct_orders")], [d("Revenue daily")]),
        (AIRFLOW, "bi_refresh.finance_close", "bi_refresh", [pg("analytics.fct_payments"), pg("analytics.fct_orders")], [d("Finance close")]),
        (AIRFLOW, "bi_refresh.product_funnel", "bi_refresh", [pg("analytics.fct_sessions")], [d("Product funnel")]),
    ]  # fmt: skip
    out += [
        (SPARK, f"tenant_export_{i:02}", "exports", [pg("raw.events")], [pg(f"tenant_{i:02}.events")])
        for i in range(60)
    ]
    return out


def _event(job: Job, kind: str, at: datetime, run: str, nominal: datetime) -> dict[str, Any]:
    namespace, name, parent, inputs, outputs = job
    facets: dict[str, Any] = {
        "nominalTime": {"nominalStartTime": nominal.isoformat()},
        "parent": {
            "run": {"runId": str(uuid.UUID(int=uuid.UUID(run).int ^ 1))},
            "job": {"namespace": namespace, "name": parent},
        },
    }
    if kind == "FAIL":
        message = (
            ERROR if "load_payments" in name else "Database Error: relation raw.payments is older than 24 h"
        )
        facets["errorMessage"] = {
            "message": message,
            "programmingLanguage": "JAVA",
            "stackTrace": f"{message}\n  at app.Load.run(Load.scala:88)",
        }
        if "load_payments" in name:
            facets["airflow"] = {"taskInstance": {"log_url": LOG, "try_number": 3}, "task": {"retries": 2}}
    return {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "run": {"runId": run, "facets": facets},
        "job": {"namespace": namespace, "name": name, "facets": {"jobType": {"processingType": "BATCH", "integration": {AIRFLOW: "AIRFLOW", SPARK: "SPARK", DBT: "DBT"}[namespace], "jobType": {AIRFLOW: "TASK", SPARK: "JOB", DBT: "MODEL"}[namespace]}}},
        "inputs": [_dataset(i) for i in inputs],
        "outputs": [_dataset(o) for o in outputs],
        "producer": "https://example.com/shop",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }  # fmt: skip


def _dataset(text: str) -> dict[str, Any]:
    namespace, name = text.split("|")
    facets: dict[str, Any] = {}
    for word, columns in _COLUMNS.items():
        if word in name and "|shop." in text:
            facets["schema"] = {"fields": [{"name": c, "type": "text"} for c in columns]}
    owner = next((o for key, o in OWNERS.items() if name.startswith(f"shop.{key}")), None)
    if owner:
        facets["ownership"] = {"owners": [{"name": owner, "type": "OWNER"}]}
    if "payments" in name:
        facets["tags"] = {"tags": [{"key": "pii", "value": "true", "source": "TEST"}]}
    return {"namespace": namespace, "name": name, "facets": facets}


def all_events(now: datetime) -> Iterator[dict[str, Any]]:
    """Eight daily runs of every job; the last of load_payments fails, and stg_payments after it."""
    for n, job in enumerate(jobs()):
        days = 2 if "tenant_export" in job[1] else 8
        for day in range(days - 1, -1, -1):
            nominal = (now - timedelta(days=day, hours=2)).replace(minute=0, second=0, microsecond=0)
            start = now - timedelta(days=day, hours=1, minutes=50 - n % 17)
            run = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{job[1]}{day}"))
            bad = day == 0 and job[1] in ("payments_daily.load_payments", "stg_payments")
            yield _event(job, "START", start, run, nominal)
            end = start + timedelta(minutes=3 + (n * 7 + day * 3) % 11)
            yield _event(job, "FAIL" if bad else "COMPLETE", end, run, nominal)
    old = now - timedelta(days=40)
    ghost: Job = (
        AIRFLOW,
        "legacy.copy_refunds",
        "legacy",
        [pg("raw.refunds")],
        [pg("analytics.fct_payments")],
    )
    yield _event(ghost, "COMPLETE", old, str(uuid.uuid5(uuid.NAMESPACE_URL, "refunds")), old)


def seed(
    record: Record, said: Iterator[dict[str, Any]] | list[dict[str, Any]], producer: str = "shop"
) -> None:
    """Take events in as the receiver does, and fold them."""
    with record.tx() as conn:
        row = conn.execute(
            "insert into producer (name) values (%s) on conflict (name) do update set name = excluded.name returning id",
            (producer,),
        ).fetchone()
    assert row
    bodies = [json.dumps(e).encode() for e in said]
    pairs = [(hashlib.sha256(b).digest(), b) for b in bodies]
    for i in range(0, len(pairs), 500):
        events.take(record, row["id"], pairs[i : i + 500])
    while fold.fold_pending(record):
        pass


def recover(now: datetime) -> list[dict[str, Any]]:
    """load_payments and stg_payments run again, and well."""
    out = []
    for job in jobs():
        if job[1] in ("payments_daily.load_payments", "stg_payments"):
            run = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{job[1]} again"))
            nominal = (now - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
            out.append(_event(job, "COMPLETE", now, run, nominal))
    return out


def utcnow() -> datetime:
    return datetime.now(UTC)
