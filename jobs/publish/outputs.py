"""The tables that one publication makes visible together, and their rows of one day."""

from datetime import date
from typing import Any

import duckdb

from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake, local_path
from jobs.learn.tables import TABLES as LEARN_TABLES
from jobs.publish.tables import QUALITY_CHECKS
from jobs.recommend.tables import TABLES as RECOMMEND_TABLES
from jobs.stage import RUN_STAGES

OUTPUT_TABLES = {
    table.name: table for table in (*RECOMMEND_TABLES, *LEARN_TABLES, QUALITY_CHECKS, RUN_STAGES)
}


def aggregate_days(
    lake: Lake, table: Table, days: DayRange, snapshot_id: int | None, expression: str, where: str = "true"
) -> Any:
    """An aggregate over a table's rows of some days as of a snapshot; None where the table has no rows."""
    files = lake.files(table, days, snapshot_id) if snapshot_id else []
    if not files:
        return None
    with duckdb.connect() as connection:
        paths = [local_path(file) for file in files]
        row = connection.execute(
            f"SELECT {expression} FROM read_parquet($1) WHERE {where}", [paths]
        ).fetchone()
    return row[0] if row else None


def distinct_values(lake: Lake, table: Table, day: date, snapshot_id: int | None, column: str) -> list[str]:
    """The values of a column among a table's rows of a day as of a snapshot, sorted."""
    values = aggregate_days(lake, table, (day, day), snapshot_id, f"list(DISTINCT {column})")
    return sorted(values or [])
