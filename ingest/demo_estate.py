"""The demo estate: what a small web shop runs. Data only; ingest/demo.py makes events of it.

Names end in .example, which belongs to nobody (RFC 2606).
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY = 24.0


@dataclass(frozen=True)
class Data:
    """A dataset. ``columns``: 'name type, …'; a ``*`` before a name marks personal data."""

    namespace: str
    name: str
    kind: str
    columns: str
    about: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """A job. Its data run at ``at`` minutes after the night began, every ``every`` hours, for ``minutes``.

    ``columns``: of output columns whose source has another name: 'column = dataset.column + …'. ``checks``:
    'dataset: check column' that each run reports. ``parent`` is the key of the job it belongs to.
    """

    system: str
    namespace: str
    name: str
    kind: str
    at: int
    minutes: float
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    every: float = DAY
    parent: str | None = None
    about: str = ""
    sql: str = ""
    columns: str = ""
    checks: tuple[str, ...] = ()
    retries: int = 2
    tags: tuple[str, ...] = ()
    streaming: bool = False


@dataclass(frozen=True)
class Team:
    name: str
    about: str
    people: tuple[tuple[str, str], ...]
    channels: tuple[tuple[str, str], ...]
    owns: tuple[str, ...] = field(default_factory=tuple)


SHOP = "postgres://shop-db.larkfield.example:5432"
PAY = "postgres://payments-db.larkfield.example:5432"
WAREHOUSE = "postgres://warehouse.larkfield.example:5432"
KAFKA = "kafka://kafka.larkfield.example:9092"
LAKE = "s3://larkfield-lake"
LOOKER = "looker://larkfield.example"
METABASE = "metabase://bi.larkfield.example"

DATA: dict[str, Data] = {
    # ---- what the shop and the payment service write
    "shop.orders": Data(
        SHOP, "shop.public.orders", "TABLE",
        "order_id bigint, customer_id bigint, status text, currency text, total numeric, placed_at timestamptz",
        "One row an order, written by the shop",
    ),
    "shop.order_items": Data(
        SHOP, "shop.public.order_items", "TABLE",
        "order_id bigint, line_no int, sku text, quantity int, unit_price numeric",
        "The lines of an order",
    ),
    "shop.customers": Data(
        SHOP, "shop.public.customers", "TABLE",
        "customer_id bigint, *email text, *full_name text, *phone text, country text, created_at timestamptz",
        "Accounts of the shop", ("pii",),
    ),
    "shop.stock": Data(
        SHOP, "shop.public.stock_levels", "TABLE",
        "sku text, warehouse_code text, on_hand int, reserved int, counted_at timestamptz",
        "Stock by article and warehouse",
    ),
    "pay.charges": Data(
        PAY, "payments.public.charges", "TABLE",
        "charge_id uuid, order_id bigint, customer_id bigint, amount numeric, currency text, fee_amount numeric, "
        "*card_last4 text, status text, captured_at timestamptz",
        "Card charges as the payment provider confirms them", ("pci",),
    ),
    "pay.refunds": Data(
        PAY, "payments.public.refunds", "TABLE",
        "refund_id uuid, charge_id uuid, amount numeric, reason text, refunded_at timestamptz",
        "Money paid back",
    ),
    # ---- streams
    "topic.orders": Data(
        KAFKA, "shop.orders.v1", "TOPIC",
        "order_id bigint, customer_id bigint, status text, total numeric, placed_at timestamptz",
        "Every change of an order, by change data capture",
    ),
    "topic.charges": Data(
        KAFKA, "payments.charges.v1", "TOPIC",
        "charge_id uuid, order_id bigint, amount numeric, status text, captured_at timestamptz",
        "Every change of a charge, by change data capture", ("pci",),
    ),
    "topic.enriched": Data(
        KAFKA, "orders.enriched.v1", "TOPIC",
        "order_id bigint, customer_id bigint, total numeric, paid_amount numeric, status text, placed_at timestamptz",
        "Orders with what was paid for them, seconds after the fact",
    ),
    "topic.clicks": Data(
        KAFKA, "web.clickstream.v1", "TOPIC",
        "event_id uuid, visitor_id uuid, customer_id bigint, page text, referrer text, *ip_address inet, at timestamptz",
        "What visitors of the shop look at", ("pii",),
    ),
    # ---- the lake
    "lake.clicks": Data(
        LAKE, "raw/clickstream", "FILE",
        "event_id uuid, visitor_id uuid, customer_id bigint, page text, referrer text, *ip_address inet, at timestamptz",
        "Clicks as they came, by hour", ("pii",),
    ),
    "lake.orders": Data(
        LAKE, "raw/orders_enriched", "FILE",
        "order_id bigint, customer_id bigint, total numeric, paid_amount numeric, status text, placed_at timestamptz",
        "Enriched orders as they came, by hour",
    ),
    "lake.ads": Data(
        LAKE, "raw/ad_spend", "FILE",
        "day date, channel text, campaign text, impressions bigint, clicks bigint, cost numeric, currency text",
        "Reports of the ad networks, as they were fetched",
    ),
    "lake.sessions": Data(
        LAKE, "curated/sessions", "FILE",
        "session_id uuid, customer_id bigint, channel text, pages int, started_at timestamptz, ended_at timestamptz",
        "Clicks joined to visits",
    ),
    "lake.features": Data(
        LAKE, "curated/customer_features", "FILE",
        "customer_id bigint, sessions_30d int, orders_30d int, spent_30d numeric, churn_score double",
        "What the churn model knows of a customer", ("ml",),
    ),
    "lake.export": Data(
        LAKE, "exports/finance/revenue_daily", "FILE",
        "day date, country text, orders bigint, gross numeric, fees numeric, net numeric",
        "Daily revenue for the accountants", ("finance",),
    ),
    # ---- the warehouse, as loaded
    "raw.orders": Data(
        WAREHOUSE, "warehouse.raw.orders", "TABLE",
        "order_id bigint, customer_id bigint, status text, currency text, total numeric, placed_at timestamptz",
        "A copy of the shop's orders",
    ),
    "raw.order_items": Data(
        WAREHOUSE, "warehouse.raw.order_items", "TABLE",
        "order_id bigint, line_no int, sku text, quantity int, unit_price numeric",
        "A copy of the shop's order lines",
    ),
    "raw.customers": Data(
        WAREHOUSE, "warehouse.raw.customers", "TABLE",
        "customer_id bigint, *email text, *full_name text, country text, created_at timestamptz",
        "A copy of the shop's accounts", ("pii",),
    ),
    "raw.stock": Data(
        WAREHOUSE, "warehouse.raw.stock_levels", "TABLE",
        "sku text, warehouse_code text, on_hand int, reserved int, counted_at timestamptz",
        "Stock, once a night",
    ),
    "raw.charges": Data(
        WAREHOUSE, "warehouse.raw.charges", "TABLE",
        "charge_id uuid, order_id bigint, customer_id bigint, amount numeric, currency text, fee_amount numeric, "
        "*card_last4 text, status text, captured_at timestamptz",
        "A copy of the payment service's charges", ("pci",),
    ),
    "raw.refunds": Data(
        WAREHOUSE, "warehouse.raw.refunds", "TABLE",
        "refund_id uuid, charge_id uuid, amount numeric, reason text, refunded_at timestamptz",
        "A copy of the payment service's refunds",
    ),
    "raw.ads": Data(
        WAREHOUSE, "warehouse.raw.ad_spend", "TABLE",
        "day date, channel text, campaign text, impressions bigint, clicks bigint, cost numeric, currency text",
        "What was spent on ads",
    ),
    # ---- dbt's views and marts
    "stg.orders": Data(
        WAREHOUSE, "warehouse.staging.stg_orders", "VIEW",
        "order_id bigint, customer_id bigint, status text, order_total numeric, ordered_at timestamptz",
        "Orders, cleaned",
    ),
    "stg.customers": Data(
        WAREHOUSE, "warehouse.staging.stg_customers", "VIEW",
        "customer_id bigint, *email text, country text, created_at timestamptz",
        "Customers, one row each", ("pii",),
    ),
    "stg.payments": Data(
        WAREHOUSE, "warehouse.staging.stg_payments", "VIEW",
        "order_id bigint, charge_id uuid, paid_amount numeric, refunded_amount numeric, fee_amount numeric, "
        "captured_at timestamptz",
        "Charges less what was paid back",
    ),
    "mart.orders": Data(
        WAREHOUSE, "warehouse.marts.fct_orders", "TABLE",
        "order_id bigint, customer_id bigint, status text, order_total numeric, paid_amount numeric, "
        "fee_amount numeric, items int, ordered_at timestamptz",
        "One row an order, with what was paid for it",
    ),
    "mart.customers": Data(
        WAREHOUSE, "warehouse.marts.dim_customers", "TABLE",
        "customer_id bigint, *email text, country text, first_order_at timestamptz, orders bigint, churn_score double",
        "One row a customer", ("pii",),
    ),
    "mart.stock": Data(
        WAREHOUSE, "warehouse.marts.fct_stock_daily", "TABLE",
        "day date, sku text, warehouse_code text, available int",
        "What can be sold, by day",
    ),
    "mart.marketing": Data(
        WAREHOUSE, "warehouse.marts.fct_marketing", "TABLE",
        "day date, channel text, cost numeric, clicks bigint, sessions bigint, cost_per_session numeric",
        "What a visit costs, by channel",
    ),
    "mart.revenue": Data(
        WAREHOUSE, "warehouse.marts.revenue_daily", "TABLE",
        "day date, country text, orders bigint, gross numeric, fees numeric, net numeric",
        "Revenue by day and country: the number the board looks at", ("finance",),
    ),
    # ---- what people look at
    "bi.revenue": Data(
        LOOKER, "dashboards/executive_revenue", "DASHBOARD",
        "day date, country text, net numeric, orders bigint",
        "Executive revenue: the first page of every Monday", ("finance",),
    ),
    "bi.marketing": Data(
        METABASE, "dashboards/marketing_performance", "DASHBOARD",
        "day date, channel text, cost numeric, sessions bigint, cost_per_session numeric",
        "Marketing performance",
    ),
}  # fmt: skip


def _task(dag: str, name: str, at: int, minutes: float, **how: object) -> Work:
    return Work("airflow", "airflow-prod", f"{dag}.{name}", "TASK", at, minutes, parent=dag, **how)  # type: ignore[arg-type]


def _dag(name: str, at: int, minutes: float, about: str, **how: object) -> Work:
    return Work("airflow", "airflow-prod", name, "DAG", at, minutes, about=about, **how)  # type: ignore[arg-type]


def _model(name: str, at: int, minutes: float, **how: object) -> Work:
    return Work(
        "dbt", "dbt-prod", f"model.larkfield.{name}", "MODEL", at, minutes, parent="dbt", every=12.0, **how  # type: ignore[arg-type]
    )  # fmt: skip


WORK: dict[str, Work] = {
    # ---- Airflow: each night from the services into the warehouse
    "shop_ingest": _dag("shop_ingest", 0, 24, "The shop's tables into the warehouse", tags=("nightly",)),
    "load_orders": _task(
        "shop_ingest", "load_orders", 1, 9,
        reads=("shop.orders", "shop.order_items"), writes=("raw.orders", "raw.order_items"),
        about="Copies what changed since the last run",
        checks=("shop.orders: not_null order_id", "shop.order_items: not_null order_id"),
    ),
    "load_customers": _task(
        "shop_ingest", "load_customers", 2, 6, reads=("shop.customers",), writes=("raw.customers",),
        about="Accounts, without the telephone number",
        sql="insert into warehouse.raw.customers (customer_id, email, full_name, country, created_at) "
        "select customer_id, email, full_name, country, created_at from shop.public.customers",
        checks=("shop.customers: unique email",),
    ),
    "load_stock": _task(
        "shop_ingest", "load_stock", 3, 4, reads=("shop.stock",), writes=("raw.stock",),
        about="Stock levels as of midnight", checks=("shop.stock: not_null sku",),
    ),
    "payments_ingest": _dag("payments_ingest", 10, 32, "The payment service's tables into the warehouse", tags=("nightly",)),
    "load_charges": _task(
        "payments_ingest", "load_charges", 11, 12, reads=("pay.charges",), writes=("raw.charges",),
        about="Copies charges that were captured or changed since the last run",
        sql="insert into warehouse.raw.charges (charge_id, order_id, customer_id, amount, currency, fee_amount, "
        "card_last4, status, captured_at) select c.charge_id, c.order_id, c.customer_id, c.amount, c.currency, "
        "c.fee_amount, c.card_last4, c.status, c.captured_at from payments.public.charges c "
        "where c.updated_at >= '2026-01-01'",
        checks=("pay.charges: not_null order_id",),
    ),
    "load_refunds": _task(
        "payments_ingest", "load_refunds", 11, 5, reads=("pay.refunds",), writes=("raw.refunds",),
        about="Copies refunds", checks=("pay.refunds: not_null charge_id",),
    ),
    "marketing_ingest": _dag("marketing_ingest", 20, 20, "Reports of the ad networks"),
    "fetch_ads": _task(
        "marketing_ingest", "fetch_ad_spend", 21, 7, writes=("lake.ads",),
        about="Asks the ad networks for yesterday's figures",
    ),
    "load_ads": _task(
        "marketing_ingest", "load_ad_spend", 30, 5, reads=("lake.ads",), writes=("raw.ads",),
        about="Files of the ad networks into the warehouse",
    ),
    "finance_close": _dag("finance_close", 210, 30, "Daily close", tags=("finance",)),
    "reconcile": _task(
        "finance_close", "reconcile_payments", 211, 6, reads=("raw.charges", "mart.orders"),
        about="Stops the close where charges and orders do not add up",
    ),
    "export_revenue": _task(
        "finance_close", "export_revenue", 225, 5, reads=("mart.revenue",), writes=("lake.export",),
        about="A file for the accountants",
    ),
    # ---- streams
    "orders_cdc": Work(
        "kafka", "connect-prod", "orders-cdc", "CONNECTOR", 5, 1, ("shop.orders",), ("topic.orders",), every=12.0,
        about="Debezium on the shop's orders; reports each time its offsets are committed to the archive",
    ),
    "charges_cdc": Work(
        "kafka", "connect-prod", "charges-cdc", "CONNECTOR", 6, 1, ("pay.charges",), ("topic.charges",), every=12.0,
        about="Debezium on the charges",
    ),
    "web_tracker": Work(
        "kafka", "connect-prod", "web-tracker", "CONNECTOR", 7, 1, (), ("topic.clicks",), every=12.0,
        about="The shop's own click collector",
    ),
    "enrich": Work(
        "flink", "flink-prod", "order-enrichment", "STREAMING", 0, 0, ("topic.orders", "topic.charges"),
        ("topic.enriched",), every=12.0, streaming=True, columns="paid_amount = topic.charges.amount",
        about="Joins orders with their charges as they come",
    ),
    "clicks_sink": Work(
        "kafka", "connect-prod", "clickstream-lake-sink", "CONNECTOR", 8, 1, ("topic.clicks",), ("lake.clicks",),
        every=12.0, about="Clicks into the lake, by hour",
    ),
    "orders_sink": Work(
        "kafka", "connect-prod", "orders-lake-sink", "CONNECTOR", 9, 1, ("topic.enriched",), ("lake.orders",), every=12.0,
        about="Enriched orders into the lake, by hour",
    ),
    # ---- Spark
    "sessionize": Work(
        "spark", "spark-prod", "sessionize_clicks", "APPLICATION", 40, 26, every=12.0, about="Visits from clicks",
    ),
    "sessionize_q": Work(
        "spark", "spark-prod", "sessionize_clicks.adaptive_spark_plan.curated_sessions", "SQL_JOB", 42, 23,
        ("lake.clicks",), ("lake.sessions",), every=12.0, parent="sessionize",
        columns="session_id = lake.clicks.visitor_id, channel = lake.clicks.referrer, pages = lake.clicks.page, "
        "started_at = lake.clicks.at, ended_at = lake.clicks.at",
    ),
    "features": Work(
        "spark", "spark-prod", "customer_features", "APPLICATION", 70, 34, about="Features for the churn model",
    ),
    "features_q": Work(
        "spark", "spark-prod", "customer_features.adaptive_spark_plan.curated_customer_features", "SQL_JOB", 72, 30,
        ("lake.sessions", "lake.orders"), ("lake.features",), parent="features",
        columns="sessions_30d = lake.sessions.session_id, orders_30d = lake.orders.order_id, "
        "spent_30d = lake.orders.total, churn_score = lake.sessions.pages + lake.orders.total",
    ),
    # ---- dbt, twice a day
    "dbt": Work(
        "dbt", "dbt-prod", "dbt-build-larkfield", "JOB", 120, 40, every=12.0, about="All models and their tests",
    ),
    "m.stg_orders": _model(
        "stg_orders", 121, 0.2, reads=("raw.orders",), writes=("stg.orders",),
        sql="select order_id, customer_id, status, total as order_total, placed_at as ordered_at "
        "from warehouse.raw.orders where status <> 'draft'",
        columns="order_total = raw.orders.total, ordered_at = raw.orders.placed_at",
    ),
    "m.stg_customers": _model(
        "stg_customers", 121, 0.2, reads=("raw.customers",), writes=("stg.customers",),
        sql="select customer_id, lower(email) as email, country, created_at from warehouse.raw.customers",
    ),
    "m.stg_payments": _model(
        "stg_payments", 122, 0.3, reads=("raw.charges", "raw.refunds"), writes=("stg.payments",),
        sql="with back as (select charge_id, sum(amount) as refunded_amount from warehouse.raw.refunds group by 1) "
        "select c.order_id, c.charge_id, c.amount as paid_amount, coalesce(b.refunded_amount, 0) as refunded_amount, "
        "c.fee_amount, c.captured_at from warehouse.raw.charges c left join back b on b.charge_id = c.charge_id",
        columns="paid_amount = raw.charges.amount, refunded_amount = raw.refunds.amount",
    ),
    "m.fct_orders": _model(
        "fct_orders", 124, 9, reads=("stg.orders", "stg.payments", "raw.order_items"), writes=("mart.orders",),
        sql="select o.order_id, o.customer_id, o.status, o.order_total, p.paid_amount, p.fee_amount, i.items, o.ordered_at "
        "from warehouse.staging.stg_orders o left join warehouse.staging.stg_payments p on p.order_id = o.order_id "
        "left join (select order_id, sum(quantity) as items from warehouse.raw.order_items group by 1) i "
        "on i.order_id = o.order_id",
        columns="items = raw.order_items.quantity",
    ),
    "m.dim_customers": _model(
        "dim_customers", 134, 5, reads=("stg.customers", "stg.orders", "lake.features"), writes=("mart.customers",),
        columns="first_order_at = stg.orders.ordered_at, orders = stg.orders.order_id",
    ),
    "m.fct_stock": _model(
        "fct_stock_daily", 126, 3, reads=("raw.stock",), writes=("mart.stock",),
        sql="select counted_at::date as day, sku, warehouse_code, on_hand - reserved as available "
        "from warehouse.raw.stock_levels",
        columns="day = raw.stock.counted_at, available = raw.stock.on_hand + raw.stock.reserved",
    ),
    "m.fct_marketing": _model(
        "fct_marketing", 127, 4, reads=("raw.ads", "lake.sessions"), writes=("mart.marketing",),
        columns="sessions = lake.sessions.session_id, cost_per_session = raw.ads.cost + lake.sessions.session_id",
    ),
    "m.revenue": _model(
        "revenue_daily", 141, 6, reads=("mart.orders", "mart.customers"), writes=("mart.revenue",),
        sql="select o.ordered_at::date as day, c.country, count(*) as orders, sum(o.paid_amount) as gross, "
        "sum(o.fee_amount) as fees, sum(o.paid_amount - o.fee_amount) as net from warehouse.marts.fct_orders o "
        "join warehouse.marts.dim_customers c on c.customer_id = o.customer_id group by 1, 2",
        columns="day = mart.orders.ordered_at, orders = mart.orders.order_id, gross = mart.orders.paid_amount, "
        "fees = mart.orders.fee_amount, net = mart.orders.paid_amount + mart.orders.fee_amount",
    ),
    # ---- dashboards
    "refresh_revenue": Work(
        "looker", "looker-prod", "refresh executive_revenue", "REFRESH", 240, 3, ("mart.revenue",), ("bi.revenue",),
        about="Refreshes the tiles once the day's revenue is whole",
    ),
    "refresh_marketing": Work(
        "metabase", "metabase-prod", "refresh marketing_performance", "REFRESH", 200, 2, ("mart.marketing",),
        ("bi.marketing",), about="Refreshes the questions of the dashboard",
    ),
}  # fmt: skip

#: dbt's tests: name → (dataset, check, column)
TESTS = {
    "unique_fct_orders_order_id": ("mart.orders", "unique", "order_id"),
    "not_null_dim_customers_customer_id": ("mart.customers", "not_null", "customer_id"),
    "relationships_fct_orders_customer_id": ("mart.orders", "relationships", "customer_id"),
    "accepted_values_stg_orders_status": ("stg.orders", "accepted_values", "status"),
    "not_null_revenue_daily_day": ("mart.revenue", "not_null", "day"),
}

TEAMS = (
    Team(
        "Data Platform", "Runs ingest, the lake and the warehouse",
        (("Ines Albrecht", "ines.albrecht@larkfield.example"), ("Tomas Weil", "tomas.weil@larkfield.example")),
        (("slack", "#data-platform"), ("pagerduty", "data-platform")),
        ("airflow-prod/shop_ingest*", "spark-prod/*", "connect-prod/*", "flink-prod/*", f"{LAKE}/*", f"{KAFKA}/*",
         f"{WAREHOUSE}/warehouse.raw.*"),
    ),
    Team(
        "Payments", "Takes the money and gives it back",
        (("Marta Okoye", "marta.okoye@larkfield.example"), ("Jun Sato", "jun.sato@larkfield.example")),
        (("slack", "#payments-oncall"), ("pagerduty", "payments")),
        (f"{PAY}/*", "airflow-prod/payments_ingest*", f"{WAREHOUSE}/warehouse.raw.charges",
         f"{WAREHOUSE}/warehouse.raw.refunds", f"{KAFKA}/payments.*", "connect-prod/charges-cdc"),
    ),
    Team(
        "Shop", "The shop and its database",
        (("Priya Nair", "priya.nair@larkfield.example"),), (("slack", "#shop-backend"),), (f"{SHOP}/*",),
    ),
    Team(
        "Analytics", "Models, marts and what they mean",
        (("Lena Fischer", "lena.fischer@larkfield.example"), ("Sam Ortiz", "sam.ortiz@larkfield.example")),
        (("slack", "#analytics"), ("email", "analytics@larkfield.example")),
        ("dbt-prod/*", f"{WAREHOUSE}/warehouse.staging.*", f"{WAREHOUSE}/warehouse.marts.*"),
    ),
    Team(
        "Marketing", "Campaigns and what they bring",
        (("Noah Berg", "noah.berg@larkfield.example"),), (("slack", "#marketing-data"),),
        ("airflow-prod/marketing_ingest*", f"{LAKE}/raw/ad_spend", f"{METABASE}/*", "metabase-prod/*",
         f"{WAREHOUSE}/warehouse.marts.fct_marketing"),
    ),
    Team(
        "Finance", "Closes the books",
        (("Eva Lindqvist", "eva.lindqvist@larkfield.example"),),
        (("email", "finance@larkfield.example"), ("slack", "#finance")),
        ("airflow-prod/finance_close*", f"{LAKE}/exports/finance/*", f"{LOOKER}/*", "looker-prod/*",
         f"{WAREHOUSE}/warehouse.marts.revenue_daily"),
    ),
)  # fmt: skip

#: what a file would set (store.assign): how much each matters, and how old its data may be
#: freshness checks: (dataset, name, late after, warn after), in hours. Only what the story is about goes late as it ages
CHECKS = (
    ("warehouse.raw.charges", "Charges arrive every night", 26, 20),
    ("warehouse.marts.revenue_daily", "Revenue is made anew", 30 * 24, 20 * 24),
    ("warehouse.marts.fct_orders", "Orders are made anew", 30 * 24, 20 * 24),
    ("dashboards/executive_revenue", "The board sees the present", 30 * 24, 20 * 24),
)

ASSIGNED = """
- select: {name: "dashboards/executive_revenue"}
  set: {criticality: 1, sla: {kind: freshness, minutes: 1560}}
- select: {name: "warehouse.marts.revenue_daily"}
  set: {criticality: 1, sla: {kind: freshness, minutes: 2880}}
- select: {name: "warehouse.marts.*"}
  set: {criticality: 2}
- select: {name: "warehouse.marts.revenue_daily"}
  set: {criticality: 1}
- select: {name: "warehouse.marts.fct_orders"}
  set: {criticality: 1, sla: {kind: freshness, minutes: 2880}}
- select: {name: "exports/finance/*"}
  set: {criticality: 1, sla: {kind: freshness, minutes: 2880}}
- select: {name: "dashboards/marketing_performance"}
  set: {criticality: 3, sla: {kind: freshness, minutes: 4320}}
- select: {name: "payments_ingest.load_charges"}
  set: {criticality: 1, sla: {kind: completion, minutes: 60}}
- select: {name: "payments_ingest"}
  set: {criticality: 1}
- select: {name: "finance_close*"}
  set: {criticality: 2, sla: {kind: completion, minutes: 120}}
- select: {name: "warehouse.raw.*"}
  set: {criticality: 3}
- select: {name: "curated/*"}
  set: {criticality: 3}
"""

#: the day's failure: its try by try error, and what fails because of it
BROKEN = "load_charges"
BROKEN_ERROR = (
    "psycopg.errors.UndefinedColumn: column c.fee_amount does not exist",
    "Traceback (most recent call last):\n"
    '  File "/opt/airflow/dags/payments_ingest.py", line 84, in load_charges\n'
    "    copied = copy_changed(source, target, since=since)\n"
    '  File "/opt/airflow/plugins/larkfield/copy.py", line 131, in copy_changed\n'
    "    cursor.execute(query, parameters)\n"
    "psycopg.errors.UndefinedColumn: column c.fee_amount does not exist\n"
    "HINT:  Perhaps you meant to reference the column c.fee_amount_minor",
)
SYMPTOM = "reconcile"
SYMPTOM_ERROR = (
    "ReconciliationError: no charges of the last day in warehouse.raw.charges",
    "Traceback (most recent call last):\n"
    '  File "/opt/airflow/dags/finance_close.py", line 52, in reconcile_payments\n'
    "    raise ReconciliationError(message)\n"
    "ReconciliationError: no charges of the last day in warehouse.raw.charges",
)
#: waits for revenue that is whole, and so did not run today
WAITING = "refresh_revenue"
#: its first try just failed, two are left
RETRYING = "load_ads"
RETRYING_ERROR = ("botocore.exceptions.ReadTimeoutError: Read timeout on endpoint URL", "")
