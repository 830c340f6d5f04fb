"""Rows of a mapped log's files -> items or users, one row for each.

Of several rows with one key, each column has its newest value where the mapping has a time, else the most
frequent one; of values that are equal in that, the largest or the smallest.
"""

import logging
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.columns import Table
from jobs.logs.config import ItemsMapping, UsersMapping
from jobs.logs.file_schemas import Kinds
from jobs.logs.map_columns import SourceRows, convert_columns

logger = logging.getLogger(__name__)

CatalogueMapping = ItemsMapping | UsersMapping


def map_catalogue(
    groups: Sequence[tuple[DataFrame, Kinds]], mapping: CatalogueMapping, time_zone: str, table: Table
) -> DataFrame:
    """Rows of `table` without `ds`; rows that break the contract are left out with a warning."""
    frames = []
    for rows, kinds in groups:
        source = SourceRows(rows, kinds, [mapping], time_zone)
        frames.append(convert_columns(source, [mapping]))
    key = table.key[0]
    no_key = F.when(F.col(key).isNull(), f"{key} is null")
    is_filtered = F.when(F.col("_is_filtered"), "`where` does not hold")
    names = dict.fromkeys(name.partition(".")[0] for name, _ in mapping.columns())
    judged = [
        frame.select(*names, F.coalesce(is_filtered, "_fault", no_key).alias("_fault")) for frame in frames
    ]
    rows = reduce(DataFrame.unionByName, judged)
    good = rows.where(F.col("_fault").isNull())
    parts = _parts(mapping, key)
    _warn(rows, good, mapping, key, parts)
    return _one_row_per_key(good, mapping, key, parts, table)


def _parts(mapping: CatalogueMapping, key: str) -> dict[str, Column]:
    """The columns that are chosen each by itself, the entries of maps too."""
    names = dict.fromkeys(name for name, _ in mapping.columns() if name not in {key, "newest_by"})
    return {
        name: F.col(name.partition(".")[0])[name.partition(".")[2]] if "." in name else F.col(name)
        for name in names
    }


def _one_row_per_key(
    good: DataFrame, mapping: CatalogueMapping, key: str, parts: dict[str, Column], table: Table
) -> DataFrame:
    chosen = [
        (_newest(part) if mapping.newest_by else F.mode(part, True)).alias(name)
        for name, part in parts.items()
    ]
    rows = good.groupBy(key).agg(*chosen) if chosen else good.select(key).distinct()
    columns = []
    for field in table.spark_schema():
        entries = [name for name in parts if name.startswith(f"{field.name}.")]
        value = F.lit(None)
        if entries:
            pairs = [part for name in entries for part in (F.lit(name.partition(".")[2]), F.col(f"`{name}`"))]
            value = F.map_filter(F.create_map(*pairs), lambda _, text: text.isNotNull())
        elif field.name == key or field.name in parts:
            value = F.col(field.name)
        columns.append(value.cast(field.dataType).alias(field.name))
    return rows.select(columns).drop("ds")


def _newest(part: Column) -> Column:
    return F.max(F.when(part.isNotNull(), F.struct("newest_by", part.alias("value"))))["value"]


def _warn(
    rows: DataFrame, good: DataFrame, mapping: CatalogueMapping, key: str, parts: dict[str, Column]
) -> None:
    """Tells the rows that are left out by reason, and the columns of which keys have several values."""
    path, kept = mapping.files.path, "newest" if mapping.newest_by else "most frequent"
    faults = rows.where(F.col("_fault").isNotNull()).groupBy("_fault").count().sort("_fault")
    for fault, count in faults.collect():
        logger.warning("%s: %d rows are left out: %s", path, count, fault)
    differs = [(F.min(part) != F.max(part)).alias(f"_{n}") for n, part in enumerate(parts.values())]
    if not differs:
        return
    of_keys = good.groupBy(key).agg(*differs)
    several = of_keys.agg(
        *[F.count_if(F.col(f"_{n}")) for n in range(len(parts))],
        *[F.min(F.when(F.col(f"_{n}"), F.col(key))) for n in range(len(parts))],
    ).collect()[0]
    for n, name in enumerate(parts):
        if several[n]:
            logger.warning(
                "%s: %s has several values for %d of %s, as for %s: the %s is taken",
                path, name, several[n], key, several[len(parts) + n], kept,
            )  # fmt: skip
