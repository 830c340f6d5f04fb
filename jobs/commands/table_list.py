"""The tables of a lake at a glance, from their metadata: no data file is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from jobs.lake.lake import Lake


@dataclass(frozen=True)
class ListedTable:
    """A table as it is now, published or not."""

    name: str
    rows: int
    days: int
    newest_day: date | None


def list_tables(lake: Lake) -> Sequence[ListedTable]:
    return [_list(lake, name) for _, name in sorted(lake.catalog.list_tables(lake.scenario))]


def _list(lake: Lake, name: str) -> ListedTable:
    rows = _rows_per_day(lake, name)
    return ListedTable(name, sum(rows.values()), len(rows), max(rows, default=None))


def _rows_per_day(lake: Lake, name: str) -> dict[date, int]:
    if not lake.catalog.table_exists((lake.scenario, name)):
        return {}
    loaded = lake.catalog.load_table((lake.scenario, name))
    if loaded.current_snapshot() is None:
        return {}
    partitions = loaded.inspect.partitions().select(["partition", "record_count"]).to_pylist()
    return {row["partition"]["ds"]: row["record_count"] for row in partitions if row["record_count"]}
