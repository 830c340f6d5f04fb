"""Rows of small tables by the table's name, as Python objects: for reports and for people."""

from typing import Any

import pyarrow as pa
from pyiceberg.expressions import BooleanExpression

from jobs.lake.days import DayRange
from jobs.lake.lake import Lake, within

Row = dict[str, Any]


def scan_rows(
    lake: Lake,
    table: str,
    days: DayRange,
    where: BooleanExpression | None = None,
    columns: tuple[str, ...] = ("*",),
    snapshot_id: int | None = None,
) -> pa.Table | None:
    """The rows of some days, now or as of a snapshot; None if the table does not exist."""
    identifier = (lake.scenario, table)
    if not lake.catalog.table_exists(identifier):
        return None
    loaded = lake.catalog.load_table(identifier)
    row_filter = within(days) & where if where else within(days)
    return loaded.scan(row_filter=row_filter, selected_fields=columns, snapshot_id=snapshot_id).to_arrow()


def read_rows(
    lake: Lake,
    table: str,
    days: DayRange,
    where: BooleanExpression | None = None,
    snapshot_id: int | None = None,
) -> list[Row]:
    """The same as dictionaries; none if the table does not exist."""
    rows = scan_rows(lake, table, days, where, snapshot_id=snapshot_id)
    return rows.to_pylist(maps_as_pydicts="lossy") if rows else []
