"""Spark work on the shop's Postgres and a folder of parquet files. usage: shop_job.py {load|fail} FOLDER

load   payments of a CSV file → parquet → the table ``payments`` by JDBC (its schema is the connection's, so the
       listener cannot name it); and raw.orders by JDBC → parquet
fail   reads that parquet and fails while it runs
Where: SHOP_PORT, SHOP_DATABASE, SHOP_USER, SHOP_PASSWORD.
"""

import os
import pathlib
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

step, folder = sys.argv[1], pathlib.Path(sys.argv[2])
url = f"jdbc:postgresql://127.0.0.1:{os.environ['SHOP_PORT']}/{os.environ['SHOP_DATABASE']}?currentSchema=raw"
login = {
    "user": os.environ["SHOP_USER"],
    "password": os.environ["SHOP_PASSWORD"],
    "driver": "org.postgresql.Driver",
}
spark = SparkSession.builder.appName(f"shop_{step}").getOrCreate()
if step == "load":
    charges = spark.read.option("header", True).schema("payment_id long, order_id long, amount decimal(12,2)")
    charges.csv(f"file://{folder}/charges.csv").filter("amount > 0").write.mode("overwrite").parquet(
        f"file://{folder}/charges"
    )
    spark.read.parquet(f"file://{folder}/charges").write.mode("append").jdbc(
        url, "payments", properties=login
    )
    orders = spark.read.jdbc(url, "raw.orders", properties=login)
    orders.groupBy("status").agg(F.count("*").alias("orders")).write.mode("overwrite").parquet(
        f"file://{folder}/orders_by_status"
    )
elif step == "fail":
    try:
        wrong = F.when(F.col("order_id") > 0, F.raise_error(F.lit("amount is not a number"))).otherwise("ok")
        spark.read.parquet(f"file://{folder}/charges").select("order_id", wrong.alias("checked")).write.mode(
            "overwrite"
        ).parquet(f"file://{folder}/checked")
    except Exception as e:
        print("failed as wanted:", type(e).__name__, flush=True)
    else:
        raise SystemExit("should have failed")
spark.stop()
