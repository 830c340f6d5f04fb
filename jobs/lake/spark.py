"""The Spark session that all jobs share their settings of, and jobs side by side on it."""

import atexit
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pyspark import SparkContext
from pyspark.sql import SparkSession

from jobs.config import RuntimeConfig

Result = TypeVar("Result")

# More than there are cores: some plan, commit or wait for their last task while others compute.
_JOBS_AT_ONCE = 4

CLASS_ARCHIVE = Path(sys.prefix, "spark-classes.jsa")  # jobs/lake/class_archive.py writes it


def start_spark(runtime: RuntimeConfig) -> SparkSession:
    """Starts (or joins) the session; every setting comes from conf/local.yaml or from what users measured."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers take `python3` from PATH
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    starts_jvm = "SPARK_ENV_LOADED" not in os.environ and runtime.master  # else spark-submit has started it
    settings = runtime.spark_settings
    if starts_jvm and CLASS_ARCHIVE.exists():
        settings = with_java_option(settings, f"-XX:SharedArchiveFile={CLASS_ARCHIVE}")
    builder = SparkSession.builder.appName("nightshelf").config(
        map={
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": str(runtime.shuffle_partitions),
            "spark.sql.sources.parallelPartitionDiscovery.threshold": "10000",  # files are known
            "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
            "spark.sql.execution.arrow.maxBytesPerBatch": "2147483647",  # a bound is measured row by row
            "spark.sql.codegen.hugeMethodLimit": "8000",  # Java interprets larger methods, row by row
            "spark.sql.legacy.parquet.nanosAsLong": "true",  # pandas writes nanoseconds, Spark has none
            "spark.ui.showConsoleProgress": "false",
            "spark.log.level": "ERROR",
            **settings,
        }
    )
    if starts_jvm:
        builder = builder.master(runtime.master).config("spark.driver.memory", runtime.driver_memory)
    atexit.unregister(end_spark)
    atexit.register(end_spark)
    return builder.getOrCreate()


def with_java_option(settings: Mapping[str, str], option: str) -> dict[str, str]:
    """Spark settings with one more option for the driver's JVM."""
    name = "spark.driver.extraJavaOptions"
    return {**settings, name: f"{settings.get(name, '')} {option}".strip()}


def end_spark() -> None:
    """Stops the JVM that this process has started and waits for it, which else outlives us for a while."""
    gateway = SparkContext._gateway
    jvm = getattr(gateway, "proc", None)  # none under spark-submit, which has started us
    if gateway is None or jvm is None:
        return
    if SparkContext._active_spark_context:
        SparkContext._active_spark_context.stop()
    gateway.shutdown()
    jvm.stdin.close()
    jvm.wait()


def run_together(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Runs independent Spark jobs side by side; their results in order, or the first error once all ended."""
    with ThreadPoolExecutor(_JOBS_AT_ONCE) as threads:
        futures = [threads.submit(job) for job in jobs]
    return [future.result() for future in futures]
