"""Counts of items, categories and brands -> their shares of what they are part of.

The counts of one item are made in one task, its department's are not: shares follow where all rows of a day
are together, when they are written.
"""

import duckdb
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.config import Entity
from jobs.features.declared import declared_columns
from jobs.features.plans import LEVELS
from jobs.lake.columns import Table
from jobs.lake.data_files import Finish

PARENTS = (*[f"{level}_id" for level in LEVELS], "brand")


def share_finisher(config: FeaturesConfig, entity: Entity, table: Table) -> Finish | None:
    """What turns the counts of a day's rows into shares; None where the table has no such column.

    Shares are null where nothing of the whole had an event, and where there is no whole.
    """
    shares = {
        column.column.name: column.share_within
        for column in declared_columns(config, entity)
        if column.share_within is not None
    }
    if not shares:
        return None
    replaced = ", ".join(f"{share_sql(name, within)} AS {name}" for name, within in shares.items())
    query = f"SELECT {', '.join(table.column_names)} FROM (SELECT * REPLACE ({replaced}) FROM day_row)"
    query += f" ORDER BY {', '.join(table.key)}"

    def finish(day: pa.Table) -> pa.Table:
        with duckdb.connect(config={"threads": 1}) as database:  # Spark runs one task per core
            database.register("day_row", day)
            return database.sql(query).to_arrow_table().cast(table.arrow_schema())

    return finish


def share_sql(count: str, within: tuple[str, ...]) -> str:
    """The share of a row's count in the rows that are equal in `within`.

    Counts are whole numbers: their sum does not depend on the order of rows.
    """
    by = f"PARTITION BY {', '.join(within)}" if within else ""
    known = " AND ".join(f"{column} IS NOT NULL" for column in within) or "true"
    return f"CASE WHEN {known} THEN {count} / nullif(sum({count}) OVER ({by}), 0) END"


def add_parents(rows: DataFrame, levels: DataFrame, entity: Entity) -> DataFrame:
    """Adds to rows of items what each is a part of: its categories and its brand."""
    if entity != "item":
        return rows
    return rows.join(F.broadcast(levels.select("item_id", *PARENTS)), "item_id", "left")
