"""Every feature of a scenario: whose it is, over which days, what it means, how often it is null."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from jobs.config import ScenarioConfig
from jobs.examples.own_columns import own_columns
from jobs.examples.tables import examples
from jobs.features.declared import declared_columns
from jobs.features.tables import declared_tables, feature_tables
from jobs.lake.columns import Column, Table
from jobs.lake.lake import Lake, local_path

_WINDOW = re.compile(r"_(\d+)d$")


@dataclass(frozen=True)
class ListedFeature:
    """One column that a model may read; `null_share` is of its newest day, None where nothing is built.

    Columns of no feature table (jobs/examples/own_columns.py) are known by the examples that have them.
    """

    entity: str
    name: str
    window: str
    meaning: str
    null_share: float | None


def list_features(config: ScenarioConfig, lake: Lake | None = None) -> Sequence[ListedFeature]:
    """All features: of the tables, in their order, then of the examples; `lake` tells the shares of nulls."""
    listed = []
    declared_windows = _declared_windows(config)
    for table in feature_tables(config.features):
        nulls = null_shares(lake, table) if lake else {}
        entity = table.name.removesuffix("_features").removesuffix("_event")
        for column in table.columns:
            if column.name not in {*table.key, "level"}:
                window = declared_windows.get(column.name) or _window_of(column)
                share = nulls.get(column.name)
                listed.append(ListedFeature(entity, column.name, window, column.meaning, share))
    nulls = null_shares(lake, examples(config)) if lake else {}
    for entity, columns in own_columns(config.features).items():
        for column in columns:
            share = nulls.get(column.name)
            listed.append(ListedFeature(entity, column.name, "", column.meaning, share))
    return listed


def null_shares(lake: Lake, table: Table) -> Mapping[str, float]:
    """Column -> its share of nulls on the newest day of the table, from the files' statistics."""
    files = lake.files(table)
    newest = max((path.rsplit("/", 2)[1] for path in files), default=None)
    nulls: dict[str, int] = {}
    lists = [column.name for column in table.columns if column.type.startswith("list<")]
    rows = 0
    for path in files:
        if path.rsplit("/", 2)[1] == newest:
            metadata = pq.read_metadata(local_path(path))
            rows += metadata.num_rows
            for group in range(metadata.num_row_groups):
                for index in range(metadata.num_columns):
                    column = metadata.row_group(group).column(index)
                    name = column.path_in_schema
                    nulls[name] = nulls.get(name, 0) + (column.statistics.null_count or 0)
            for name in lists:  # statistics count the nulls within lists, too
                nulls[name] = nulls.get(name, 0) + _count_nulls(local_path(path), name)
    return {name: count / rows for name, count in nulls.items()} if rows else {}


def _count_nulls(path: str, name: str) -> int:
    with pq.ParquetFile(path) as file:
        return sum(batch.column(0).null_count for batch in file.iter_batches(columns=[name]))


def _declared_windows(config: ScenarioConfig) -> dict[str, str]:
    entities = {**declared_tables(config.features, True), **declared_tables(config.features, False)}
    columns = [column for entity in entities for column in declared_columns(config.features, entity)]
    return {column.column.name: column.window for column in columns}


def _window_of(column: Column) -> str:
    found = _WINDOW.search(column.name)
    return found[1] if found and "half_life" not in column.name else "all"
