"""Applications for the checks of Spark, one after the other in one process: ``FOLDER MASTER``.

dlv_good and dlv_empty run here alone; dlv_bad runs on the cluster, has a job that fails, catches that and ends as if
all were well. Each leaves its event log in the folder.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def session(name: str, master: str) -> SparkSession:
    return (
        SparkSession.builder.appName(name)
        .master(master)
        .config("spark.eventLog.enabled", True)
        .config("spark.eventLog.dir", f"file://{sys.argv[1]}")
        .config("spark.executor.memory", "512m")
        .config("spark.cores.max", 1)
        .getOrCreate()
    )


spark = session("dlv_bad", sys.argv[2])
assert spark.range(10).count() == 10
try:
    spark.range(10).select(F.raise_error(F.lit("ada@private.example is no order"))).collect()
except Exception as e:
    print("failed as wanted:", type(e).__name__)
spark.stop()

spark = session("dlv_good", "local[1]")
assert spark.range(10).count() == 10
spark.stop()

session("dlv_empty", "local[1]").stop()
