"""The Spark session that all jobs share their settings of."""

import os
import sys

from pyspark.sql import SparkSession

from jobs.config import RuntimeConfig


def start_spark(runtime: RuntimeConfig) -> SparkSession:
    """Starts (or joins) the session; every setting comes from conf/local.yaml or from what users measured."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers take `python3` from PATH
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName("nightshelf").config(
        map={
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": str(runtime.shuffle_partitions),
            "spark.sql.sources.parallelPartitionDiscovery.threshold": "10000",  # files are known
            "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
            "spark.sql.execution.arrow.maxBytesPerBatch": "2147483647",  # a bound is measured row by row
            "spark.sql.legacy.parquet.nanosAsLong": "true",  # pandas writes nanoseconds, Spark has none
            "spark.ui.showConsoleProgress": "false",
            "spark.log.level": "ERROR",
            **runtime.spark_settings,
        }
    )
    if "SPARK_ENV_LOADED" not in os.environ and runtime.master:  # spark-submit has set its own master
        builder = builder.master(runtime.master).config("spark.driver.memory", runtime.driver_memory)
    return builder.getOrCreate()
