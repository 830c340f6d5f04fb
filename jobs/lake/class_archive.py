"""Writes Spark's classes to a file as a JVM holds them: sessions that map it have nothing to load.

A night is short enough for the loading of 20,000 classes to matter. `make setup` does this once, by Java's
class data sharing (JEP 350); a JVM that the archive does not fit, such as another version, goes without it.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from jobs.config import load_runtime
from jobs.lake.spark import CLASS_ARCHIVE, end_spark, start_spark, with_java_option


def write_class_archive(target: Path) -> None:
    """Runs a job that touches what a night's jobs do, and keeps the classes that it loaded in `target`."""
    target.unlink(missing_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")  # a JVM that maps half a file crashes
    runtime = load_runtime()
    settings = with_java_option(
        runtime.spark_settings, f"-XX:ArchiveClassesAtExit={unfinished} -Xlog:cds=off"
    )
    with tempfile.TemporaryDirectory() as folder:
        _work(start_spark(runtime.model_copy(update={"spark_settings": settings})), folder)
        end_spark()  # the JVM writes as it ends
    unfinished.replace(target)


def _work(spark: SparkSession, folder: str) -> None:
    days = F.date_add(F.lit("2017-12-02").cast("date"), (F.col("id") % 7).cast("int"))
    path = F.array(F.concat(F.lit("type-"), F.col("id") % 11), F.lit("brand"))
    rows = spark.range(20_000).select(
        days.alias("ds"), (F.col("id") % 97).cast("string").alias("user_id"), path.alias("path"),
        (F.rand(1) * 1000).cast("decimal(12,2)").alias("price"), F.current_timestamp().alias("at"),
    )  # fmt: skip
    rows.write.parquet(f"{folder}/rows")
    rows.drop("path").write.csv(f"{folder}/csv")
    spark.read.csv(f"{folder}/csv", schema="ds date, user_id string, price double, at timestamp").count()
    read = (
        spark.read.parquet(f"{folder}/rows")
        .where(F.col("ds") > "2017-12-03")
        .withColumn("type", F.col("path")[0])
    )
    totals = read.groupBy("user_id", "type").agg(
        F.sum("price").alias("spend"), F.count_distinct("ds").alias("days"), F.max("at").alias("last")
    )
    newest = Window.partitionBy("user_id").orderBy(F.desc("spend"), "type")
    ranked = totals.withColumn("rank", F.row_number().over(newest)).where("rank <= 3")
    joined = read.join(F.broadcast(ranked), ["user_id", "type"], "left").join(totals, ["user_id", "type"])
    placed = (
        joined.select("user_id", "rank").repartition(4, "user_id").sortWithinPartitions("user_id", "rank")
    )
    placed.mapInArrow(_same, "user_id string, rank int").write.parquet(f"{folder}/placed")


def _same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


if __name__ == "__main__":
    write_class_archive(CLASS_ARCHIVE)
    sys.exit()
