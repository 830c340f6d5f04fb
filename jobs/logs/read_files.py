"""Files of a mapped log -> rows of text or of the files' own types, each with its file and landing day."""

import re
from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from jobs.lake.lake import local_path, spark_path
from jobs.logs.files_config import CsvFiles, TextFiles
from jobs.logs.log_files import LogFile, file_of_spark_uri, spark_paths
from jobs.logs.text_files import TextForm, read_slots

FILE, LANDING_DAY = "_file", "_landing_day"
LINE, LINE_FAULT = "_line", "_line_fault"  # of text: what could not be read, and why
RECORD = "_record"
CORRUPT = "_corrupt_record"  # a line that does not fit its file's columns, or is no JSON
_TASKS_PER_CORE = 4

_RECORDS = StructType(
    [
        StructField(RECORD, StringType()),
        StructField(LINE_FAULT, StringType()),
        StructField(FILE, StringType()),
        StructField(LANDING_DAY, DateType()),
    ]
)


def text_form(files: TextFiles) -> TextForm:
    if isinstance(files, CsvFiles):
        return TextForm(files.encoding, files.delimiter, files.columns is None)
    return TextForm(files.encoding)


def read_text(spark: SparkSession, files: Sequence[LogFile], form: TextForm) -> DataFrame:
    """The records of files of text that are not blank, a file by one task, the largest first."""
    by_size = sorted(files, key=lambda file: (-file.size, file.name))
    count = min(len(files), _TASKS_PER_CORE * spark.sparkContext.defaultParallelism)
    slots = [[(file.uri, file.name, file.day) for file in by_size[slot::count]] for slot in range(count)]
    tasks = spark.range(0, count, 1, count)
    records = tasks.mapInArrow(partial(read_slots, slots=slots, form=form), _RECORDS)
    return records.where(F.trim(RECORD) != "")


def parse_csv(records: DataFrame, names: Sequence[str], delimiter: str, wanted: Sequence[str]) -> DataFrame:
    """The `wanted` columns of CSV records, found by their place: their names may be anything."""
    schema = ", ".join(f"c{index} string" for index in range(len(names)))
    options = {"sep": delimiter, "escape": '"', "maxColumns": str(max(20_480, 2 * len(names)))}
    places = {name: f"c{names.index(name)}" for name in wanted if name in names}
    return _parse(records, partial(F.from_csv, schema=f"{schema}, {CORRUPT} string"), options, places)


def parse_json(records: DataFrame, schema: StructType) -> DataFrame:
    """The keys of `schema` in lines of JSON."""
    parse = partial(F.from_json, schema=StructType([*schema, StructField(CORRUPT, StringType())]))
    return _parse(records, parse, {}, {name: name for name in schema.names})


def _parse(
    records: DataFrame, parse: Callable[..., Column], options: dict[str, str], places: dict[str, str]
) -> DataFrame:
    readable = F.when(F.col(LINE_FAULT).isNull(), F.col(RECORD))
    parsed = records.withColumn(
        "_values", parse(readable, options={**options, "columnNameOfCorruptRecord": CORRUPT})
    )
    is_corrupt = F.col("_values").getField(CORRUPT).isNotNull()
    fault = F.coalesce(LINE_FAULT, F.when(is_corrupt, "the line does not fit the file's columns"))
    return parsed.select(
        *[F.col("_values").getField(place).alias(name) for name, place in places.items()],
        F.when(fault.isNotNull(), F.col(RECORD)).alias(LINE),
        fault.alias(LINE_FAULT),
        *(FILE, LANDING_DAY),
    )


def json_schema(records: DataFrame) -> StructType:
    """All keys that lines of JSON have, and CORRUPT if one is none; values are text as they are written."""
    bad = F.replace(RECORD, F.lit(r"\x"), F.lit(r"\\x"))  # bytes that are not valid are shown so
    lines = records.select(F.when(F.col(LINE_FAULT).isNull(), F.col(RECORD)).otherwise(bad))
    reader = records.sparkSession.read.option("columnNameOfCorruptRecord", CORRUPT)
    return reader.json(lines, primitivesAsString=True).schema


def read_parquet(
    spark: SparkSession, files: Sequence[LogFile], wanted: Sequence[str], has_twins: bool
) -> DataFrame:
    """Rows with at least the `wanted` columns; of those whose names differ by case alone, only these."""
    reader, paths = spark.read, spark_paths(files)
    if has_twins:
        strict = spark.newSession()
        for name, value in {"caseSensitive": "true", "legacy.parquet.nanosAsLong": "true"}.items():
            strict.conf.set(f"spark.sql.{name}", value)
        reader = reader.schema(prune(strict.read.parquet(*paths).schema, wanted))
    return _add_file(spark, reader.parquet(*paths), files)


def prune(schema: StructType, wanted: Sequence[str]) -> StructType:
    """The fields that the `wanted` names mean, where dots lead into nested fields."""
    kept = []
    for field in schema:
        inner = [name.removeprefix(f"{field.name}.") for name in wanted if name.startswith(f"{field.name}.")]
        if field.name in wanted:
            kept.append(field)
        elif inner and isinstance(field.dataType, StructType):
            kept.append(StructField(field.name, prune(field.dataType, inner)))
    return StructType(kept)


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
