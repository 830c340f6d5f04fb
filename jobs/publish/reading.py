"""What readers see: published runs only, every output table of a day from the same run.

Tables that are no output (events, features, run_stages ...) are seen as they are now.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from pyiceberg.table import Table as IcebergTable

from jobs.lake.data_files import file_order
from jobs.lake.lake import Lake, local_path, within
from jobs.publish.outputs import OUTPUT_TABLES
from jobs.publish.publications import read_publications, visible_publications
from jobs.stage import RUN_STAGES

LATEST = "latest_"
PUBLISHED_TABLES = frozenset(OUTPUT_TABLES) - {RUN_STAGES.name}


@dataclass(frozen=True)
class VisibleTable:
    """A table as readers see it: its files, its columns and, of an output, which run counts on which day."""

    name: str
    schema: pa.Schema
    files: tuple[str, ...]
    runs: tuple[tuple[date, str], ...] | None


def table_names(lake: Lake) -> list[str]:
    """All names that a query may use: each table, and `latest_<name>` of each output."""
    tables = sorted(name for _, name in lake.catalog.list_tables(lake.scenario))
    return [*tables, *(f"{LATEST}{name}" for name in tables if name in PUBLISHED_TABLES)]


def visible_tables(lake: Lake, names: Iterable[str]) -> list[VisibleTable]:
    """The named tables (of `table_names`) as readers see them now."""
    published = (
        visible_publications(read_publications(lake)) if lake.catalog.namespace_exists(lake.scenario) else {}
    )
    tables = []
    for name in names:
        table_name = name.removeprefix(LATEST)
        loaded = lake.catalog.load_table((lake.scenario, table_name))
        schema = loaded.schema().as_arrow()
        if table_name not in PUBLISHED_TABLES:
            tables.append(VisibleTable(name, schema, tuple(_files(loaded)), None))
            continue
        shown = list(published.values())[-1 if name != table_name else 0 :]
        files = [
            file
            for publication in shown
            if table_name in publication.snapshots
            for file in _files(loaded, publication.day, publication.snapshots[table_name])
        ]
        runs = tuple((publication.day, publication.run_id) for publication in shown)
        tables.append(VisibleTable(name, schema, tuple(files), runs))
    return tables


def published_files(lake: Lake, table_name: str) -> list[str]:
    """The data files of all published days of an output table, for other engines; filter them by run_id."""
    return list(visible_tables(lake, [table_name])[0].files)


def _files(loaded: IcebergTable, day: date | None = None, snapshot_id: int | None = None) -> list[str]:
    if loaded.current_snapshot() is None:
        return []
    row_filter = within((day, day)) if day else "true"
    scan = loaded.scan(row_filter=row_filter, snapshot_id=snapshot_id)
    return sorted((local_path(task.file.file_path) for task in scan.plan_files()), key=file_order)
