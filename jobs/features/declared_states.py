"""What is kept of an entity from night to night, so that its windows need no old tiles again.

A state as of a day holds the aggregates over tiles that the SQL of declared features is made of. The next
day's is made of it, of the tile of the day between and of the tiles of the days that leave a window: an
integer sum can be taken back, and what was newest is older than the window or still the newest. What cannot
be taken back, like the least value in a window, comes from the tiles of its window
(docs/decisions/0015-declared-states.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from jobs.config import ScenarioConfig
from jobs.features.categories import ITEM_CATALOGUE_SQL
from jobs.features.config import Entity
from jobs.features.declared import DeclaredColumn, declared_columns, horizon_days
from jobs.features.event_tiles import merge_query, tiles_of
from jobs.features.plans import LEVELS, USER_LEVELS
from jobs.features.shares import PARENTS, share_sql
from jobs.features.state_aggregates import (
    ANYTHING,
    Aggregate,
    CountSince,
    any_event,
    count_since,
    find_aggregates,
    read_from_state,
)
from jobs.features.tables import declared_tables
from jobs.lake.columns import Table
from jobs.lake.days import days_between

_TILES = "CREATE TEMP VIEW tile AS SELECT * FROM event_tile"
_TILES_WITH_CATEGORIES = (
    f"CREATE TEMP VIEW item_level AS {ITEM_CATALOGUE_SQL};"
    "CREATE TEMP VIEW tile AS SELECT * FROM event_tile LEFT JOIN item_level USING (item_id)"
)


@dataclass(frozen=True)
class StatePlan:
    """The state of an entity, and its features: from the state, or, in `from_tiles`, from their own tiles."""

    entity: Entity
    tiles: Table
    features: Table
    state: Table
    aggregates: tuple[Aggregate | CountSince, ...]
    columns: tuple[tuple[str, str], ...]
    from_tiles: tuple[DeclaredColumn, ...]
    top: int
    horizon: int | None

    @property
    def tile_view(self) -> str:
        """SQL that makes `tile` of the views event_tile and catalogue."""
        return _TILES_WITH_CATEGORIES if "item_id" in self.tiles.key else _TILES

    def group_query(self, chained: bool) -> str:
        """SQL for the state as of $day, without `ds`, and the columns that have no state; in any order."""
        grouped = self._chained if chained else self._from_all_tiles
        return f"SELECT * FROM ({grouped}) WHERE {any_event(self.horizon).name} > 0"

    @property
    def _from_all_tiles(self) -> str:
        return self._group_tiles({one.name: one.from_tiles for one in self.aggregates})

    @property
    def _chained(self) -> str:
        """Only the tiles are grouped: the state has one row an entity already."""
        keys = ", ".join(self.features.key)
        changes = {name: sql for one in self.aggregates for name, sql in one.changes.items()}
        made = [f"{one.from_state} AS {one.name}" for one in self.aggregates]
        made += [
            f"CASE WHEN has_tiles THEN changed.{name} ELSE (SELECT {sql} FROM tile WHERE false) END AS {name}"
            for name, sql in self._own_columns.items()
        ]
        changed = self._group_tiles(changes | {"has_tiles": ANYTHING})
        return (
            f"SELECT {keys}, {', '.join(made)} FROM {self.state.name} AS kept"
            f" FULL JOIN ({changed}) AS changed USING ({keys})"
        )

    @property
    def _own_columns(self) -> dict[str, str]:
        """Name -> SQL of the columns that have no state."""
        return {column.column.name: column.sql for column in self.from_tiles}

    def _group_tiles(self, columns: Mapping[str, str]) -> str:
        """Some columns, and those that have no state, of all that have tiles."""
        keys, rows = ", ".join(self.features.key), rows_of(self.features)
        finest = self.features.key == self.tiles.key[:-1]
        merged = rows if finest else merge_query(rows, keys, " ".join(columns.values()))
        grouped = self._group(merged, columns)
        if not self.from_tiles:
            return grouped
        return f"SELECT * FROM ({grouped}) JOIN ({self._group(rows, self._own_columns)}) USING ({keys})"

    def _group(self, rows: str, columns: Mapping[str, str]) -> str:
        keys = ", ".join(self.features.key)
        made = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        return f"SELECT {keys}, {made} FROM ({rows}) GROUP BY {keys}"

    @property
    def feature_query(self) -> str:
        """SQL for the features as of $day from `grouped`, the rows of `group_query`."""
        columns = [*self.features.key, *[f"{sql} AS {name}" for name, sql in self.columns]]
        if self.entity == "user_item":
            events = any_event(self.horizon)
            newest_first = f"{events.newest_day.name} DESC, {events.name} DESC, item_id"
            rank = f"row_number() OVER (PARTITION BY user_id ORDER BY {newest_first})"
            columns.append(f"{rank} AS user_item_event_rank")
        query = f"SELECT $day AS ds, {', '.join(columns)} FROM grouped{self._parents}"
        if self.top:
            query = f"SELECT * FROM ({query}) WHERE user_item_event_rank <= {self.top}"
        return f"{query} ORDER BY {', '.join(self.features.key)}" if " OVER (" in query else query

    @property
    def _parents(self) -> str:
        """What an item is a part of, for its shares."""
        if self.entity != "item":
            return ""
        return f" LEFT JOIN (SELECT item_id, {', '.join(PARENTS)} FROM item_level) USING (item_id)"

    def tile_days(self, day: date, first_day: date, chained: bool) -> set[date]:
        """The days whose tiles the state and the features as of a day are made of."""
        last = day - timedelta(days=1)
        oldest = max(first_day, day - timedelta(days=self.horizon)) if self.horizon else first_day
        if not chained:
            return set(days_between(oldest, last))
        leaving = {last - timedelta(days=one.window) for one in self.aggregates if one.is_sum and one.window}
        days = {last} | {left for left in leaving if left >= first_day}
        for column in self.from_tiles:
            window = max(map(int, re.findall(r"\d+", column.window)), default=0)
            since = max(oldest, day - timedelta(days=window)) if window else oldest
            days |= set(days_between(since, last))
        return days


def rows_of(table: Table) -> str:
    """The tiles that belong to rows of an entity's table, with its key."""
    if "category_id" in table.key:
        levels = USER_LEVELS if "user_id" in table.key else LEVELS
        return " UNION ALL ".join(
            f"SELECT * REPLACE ({level}_id AS category_id), '{level}' AS level FROM tile"
            f" WHERE {level}_id IS NOT NULL"
            for level in levels
        )
    return "FROM tile WHERE " + " AND ".join(f"{name} IS NOT NULL" for name in table.key)


def state_plans(scenario: ScenarioConfig, of_users: bool) -> list[StatePlan]:
    """One plan for each entity with declared features."""
    tables = declared_tables(scenario.features, of_users)
    return [_plan(scenario, entity, table) for entity, table in tables.items()]


def state_tables(scenario: ScenarioConfig) -> tuple[Table, ...]:
    return tuple(plan.state for of_users in (True, False) for plan in state_plans(scenario, of_users))


def _plan(scenario: ScenarioConfig, entity: Entity, features: Table) -> StatePlan:
    horizon = horizon_days(scenario.features)
    found: list[Aggregate | CountSince] = [any_event(horizon)]
    if entity == "user_item":
        found.append(any_event(horizon).newest_day)
    columns, from_tiles = [], []
    for column in declared_columns(scenario.features, entity):
        if column.feature.since:
            found.append(count_since(column, column.feature.since))
            columns.append((column.column.name, found[-1].name))
            continue
        used, sql = find_aggregates(column.sql), read_from_state(column.sql)
        is_kept = all(one.can_be_kept for one in used) and " FILTER " not in sql
        value = sql if is_kept else column.column.name
        within = column.share_within
        columns.append((column.column.name, value if within is None else share_sql(value, within)))
        if is_kept:
            found += [part for one in used for part in ([one.newest_day, one] if one.is_newest else [one])]
        else:
            from_tiles.append(column)
    aggregates, tiles = tuple(dict.fromkeys(found)), tiles_of(scenario, entity)
    state = Table(
        name=f"{entity}_event_states",
        meaning="What declared features are made of, for all that had a declared event before.",
        ds_is="as-of day; the two newest are kept",
        key=features.key,
        columns=(*features.columns[: len(features.key)], *[one.column for one in aggregates]),
        files_per_day=tiles.files_per_day if "user_id" in features.key else 1,
    )
    top = scenario.candidates.acted_on if entity == "user_item" else 0
    made = aggregates, tuple(columns), tuple(from_tiles)
    return StatePlan(entity, tiles, features, state, *made, top, horizon)
