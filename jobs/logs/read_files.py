"""Files of a mapped log -> rows of text or of the files' own types, each with its file and landing day."""

import re
from collections.abc import Sequence
from typing import cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from jobs.lake.lake import local_path, spark_path
from jobs.logs.config import Files, JsonLinesFiles, ParquetFiles
from jobs.logs.file_schemas import CORRUPT, FileGroup
from jobs.logs.log_files import LogFile, file_of_spark_uri, spark_paths

FILE, LANDING_DAY = "_file", "_landing_day"


def read_group(spark: SparkSession, group: FileGroup, form: Files) -> DataFrame:
    """The rows of a group of files as they are, with the name and landing day of each row's file."""
    paths = spark_paths(group.files)
    if isinstance(form, ParquetFiles):
        rows = spark.read.parquet(*paths)
    elif isinstance(form, JsonLinesFiles):
        schema = cast(StructType, group.json_schema)
        if CORRUPT not in schema.names:
            schema = StructType([*schema, StructField(CORRUPT, StringType())])
        rows = spark.read.schema(schema).json(paths)
    else:
        schema = StructType([StructField(name, StringType()) for name in (*group.kinds, CORRUPT)])
        # With pruning, Spark does not notice lines with too few or too many values.
        reader = spark.read.schema(schema).option("columnPruning", False)
        rows = reader.csv(paths, sep=form.delimiter, header=form.columns is None, escape='"')
    return _add_file(spark, rows, group.files)


def _add_file(spark: SparkSession, rows: DataFrame, files: Sequence[LogFile]) -> DataFrame:
    """Adds the name and the landing day of each row's file, joined by the name that Spark has for it.

    Spark writes file:/ or file:///: the files are listed by both, so that no row's name must be changed.
    """
    by_path = {local_path(spark_path(file.uri)): file for file in files}
    of_uri = {uri: file_of_spark_uri(uri, by_path) for uri in rows.inputFiles()}
    spellings = [
        (spelling, file)
        for uri, file in of_uri.items()
        for spelling in dict.fromkeys(re.sub("^file:/+", start, uri) for start in ("file:/", "file:///"))
    ]
    names = pa.table(
        {
            "_uri": [spelling for spelling, _ in spellings],
            FILE: [file.name for _, file in spellings],
            LANDING_DAY: pa.array([file.day for _, file in spellings], pa.date32()),
        }
    )
    of_row = rows.withColumn("_uri", F.col("_metadata.file_path"))
    return of_row.join(F.broadcast(spark.createDataFrame(names)), "_uri")
