"""tiles -> the features of users, items, categories, and pairs of them (jobs/features/tables.py).

The run of --date builds the features as of the next day, and those of earlier anchor days that are
missing. A feature as of day a uses only tiles of days before a (docs/decisions/0003-time.md).
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.anchors import campaign_anchors, scoring_day, staggered_anchors
from jobs.features.build_declared import NightlyFeatures
from jobs.features.categories import add_category_levels, item_levels
from jobs.features.co_purchases import co_purchase_frame, co_purchase_history
from jobs.features.config import Entity
from jobs.features.declared_states import StatePlan, state_plans
from jobs.features.declared_windows import declared_frame, declared_history, declared_windows, place_events
from jobs.features.event_tiles import event_days, tiles_of
from jobs.features.item_ranks import add_item_ranks
from jobs.features.pair_windows import pair_windows, place_users
from jobs.features.plans import USER
from jobs.features.shares import add_parents, share_finisher
from jobs.features.sold_windows import RunningMax, sold_windows
from jobs.features.tables import (
    CO_PURCHASE_FEATURES,
    ITEM_DAYS,
    ITEM_MAX_LINE,
    USER_DAYS,
    USER_ITEM_DAYS,
    category_features,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.features.user_windows import windows_as_of
from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake
from jobs.lake.spark import run_together, start_spark
from jobs.logs.tables import CAMPAIGN_MEMBERS, ITEMS
from jobs.stage import RowCounts, Run, stage_main
from jobs.stages import missing_days

_SUMS = ("line_count", "user_count", "quantity", "spend", "discount_line_count", "new_user_count")


def make_item_windows(item_days: DataFrame, levels: DataFrame, run: Run, as_of: DayRange) -> DataFrame:
    """Window sums of items with their department_id and type_id; `add_item_ranks` finishes them."""
    config, first_day = run.scenario.features, run.scenario.logs.first_day
    large = RunningMax("max_line_quantity", ITEM_MAX_LINE, run.scenario.candidates.max_line_quantity)
    sums = sold_windows(item_days, ["item_id"], "item", config, first_day, as_of, large)
    return sums.join(F.broadcast(levels.select("item_id", "department_id", "type_id")), "item_id", "left")


def make_category_features(item_days: DataFrame, levels: DataFrame, run: Run, as_of: DayRange) -> DataFrame:
    """Window sums of departments, categories and types."""
    daily = (
        add_category_levels(item_days, levels)
        .groupBy("level", "category_id", "ds")
        .agg(*[F.sum(name).alias(name) for name in _SUMS])
    )
    keys = ["level", "category_id"]
    return sold_windows(daily, keys, "category", run.scenario.features, run.scenario.logs.first_day, as_of)


def make_user_features(user_days: DataFrame, as_of: DataFrame, config: FeaturesConfig) -> DataFrame:
    """Features of each user as of the days in `as_of` (user_id, ds)."""
    return windows_as_of(user_days, as_of, USER, user_features(config), config)


MakeRange = Callable[[Lake, Sequence[Table], DayRange], dict[str, int]]


@dataclass
class FeatureTables:
    """Builds each table for a range of as-of days from the tiles before them."""

    run: Run
    lake: Lake

    def __post_init__(self) -> None:
        self.spark, self.config = start_spark(self.run.runtime), self.run.scenario.features
        self.every_days = self.run.scenario.examples.anchor_every_days

    def build(self) -> RowCounts:
        """Builds what is missing, tables side by side: each from the tiles, none from another."""
        items, categories = item_features(self.config), category_features(self.config)
        pairs = (user_item_features(self.config), user_category_features(self.config))
        makers: list[Callable[[], dict[str, int]]] = [
            partial(self._build, pairs, self._pairs),
            partial(self._build, (items,), self._items),
            partial(self._build, (categories,), self._categories),
            partial(self._build, (user_features(self.config),), self._users),
        ]
        if users := state_plans(self.run.scenario, of_users=True):
            makers.append(partial(self._build_declared, users, self._declared_users))
        makers += [
            partial(self._build_declared, [plan], partial(self._declared, plan.entity))
            for plan in state_plans(self.run.scenario, of_users=False)
        ]
        if self.config.co_purchases:
            makers.append(partial(self._build, (CO_PURCHASE_FEATURES,), self._co_purchases))
        return {name: count for counts in run_together(makers) for name, count in counts.items()}

    def _build(self, tables: Sequence[Table], make: MakeRange) -> dict[str, int]:
        """Builds the missing ranges of tables that are made together."""
        return self._build_days(tables, make, missing_days(self.run, self.lake, *tables))

    def _build_days(
        self, tables: Sequence[Table], make: MakeRange, ranges: Sequence[DayRange]
    ) -> dict[str, int]:
        lake = self.lake.for_one_table()
        counts = dict.fromkeys((table.name for table in tables), 0)
        for days in ranges:
            for name, count in make(lake, tables, days).items():
                counts[name] += count
        return counts

    def _build_declared(self, plans: Sequence[StatePlan], make: MakeRange) -> dict[str, int]:
        """The night's own day goes on from a state; the days before that are missing are made in bulk."""
        tables, (tonight, _) = [plan.features for plan in plans], scoring_day(self.run)
        missing = missing_days(self.run, self.lake, *tables)
        before = [(first, min(last, tonight - timedelta(days=1))) for first, last in missing]
        counts = self._build_days(tables, make, [days for days in before if days[0] <= days[1]])
        if not missing or missing[-1][1] < tonight:
            return counts
        night = NightlyFeatures(self.run, self.lake.for_one_table(), plans)
        return counts | {name: counts.get(name, 0) + count for name, count in night.build(tonight).items()}

    def _levels(self, lake: Lake) -> DataFrame:
        return item_levels(lake.read(self.spark, ITEMS))

    def _tiles(self, lake: Lake, table: Table, as_of: DayRange) -> DataFrame:
        history = self.run.scenario.logs.first_day, as_of[1] - timedelta(days=1)
        return lake.read(self.spark, table, history)

    def _users(self, lake: Lake, tables: Sequence[Table], days: DayRange) -> dict[str, int]:
        user_days = self._tiles(lake, USER_DAYS, days)
        anchors = staggered_anchors(user_days.select("user_id").distinct(), days, self.every_days)
        campaigns = campaign_anchors(lake.read(self.spark, CAMPAIGN_MEMBERS), days)
        rows = make_user_features(user_days, anchors.union(campaigns).distinct(), self.config)
        return {tables[0].name: lake.replace_days(rows, tables[0], days)}

    def _items(self, lake: Lake, tables: Sequence[Table], days: DayRange) -> dict[str, int]:
        rows = make_item_windows(self._tiles(lake, ITEM_DAYS, days), self._levels(lake), self.run, days)
        count = lake.replace_days(rows, tables[0], days, finish=add_item_ranks)
        return {tables[0].name: count}

    def _categories(self, lake: Lake, tables: Sequence[Table], days: DayRange) -> dict[str, int]:
        rows = make_category_features(self._tiles(lake, ITEM_DAYS, days), self._levels(lake), self.run, days)
        return {tables[0].name: lake.replace_days(rows, tables[0], days)}

    def _pairs(self, lake: Lake, tables: Sequence[Table], days: DayRange) -> dict[str, int]:
        num_buckets, top = self.config.user_files_per_day, self.run.scenario.candidates.bought_before
        tiles = self._tiles(lake, USER_ITEM_DAYS, days)
        placed = place_users(tiles, self._levels(lake), self.every_days, num_buckets)
        make = pair_windows(self.config, days, self.every_days, num_buckets, top)
        return lake.replace_made(placed, make, tables, days)

    def _declared_tiles(self, lake: Lake, entity: Entity, days: DayRange) -> DataFrame:
        history = declared_history(self.config, self.run.scenario.logs.first_day, days)
        return lake.read(self.spark, tiles_of(self.run.scenario, entity), history)

    def _declared_users(self, lake: Lake, tables: Sequence[Table], days: DayRange) -> dict[str, int]:
        num_buckets, top = self.config.user_files_per_day, self.run.scenario.candidates.acted_on
        tiles = self._declared_tiles(lake, "user", days)
        placed = place_events(tiles, self._levels(lake), self.every_days, num_buckets)
        make = declared_windows(self.config, days, self.every_days, num_buckets, top)
        return lake.replace_made(placed, make, tables, days)

    def _declared(
        self, entity: Entity, lake: Lake, tables: Sequence[Table], days: DayRange
    ) -> dict[str, int]:
        levels, tiles = self._levels(lake), self._declared_tiles(lake, entity, days)
        rows = declared_frame(tiles, levels, entity, self.config, days)
        finish = share_finisher(self.config, entity, tables[0])
        if finish:
            rows = add_parents(rows, levels, entity)
        return {tables[0].name: lake.replace_days(rows, tables[0], days, finish=finish)}

    def _co_purchases(self, lake: Lake, tables: Sequence[Table], days: DayRange) -> dict[str, int]:
        if self.config.co_purchases is None:
            return {}
        history = co_purchase_history(self.config.co_purchases, self.run.scenario.logs.first_day, days)
        event_tiles = lake.read(self.spark, event_days(self.run.scenario), history)
        rows = co_purchase_frame(event_tiles, self.config.co_purchases, days)
        return {tables[0].name: lake.replace_days(rows, tables[0], days)}


def build_features(run: Run, lake: Lake) -> RowCounts:
    """Builds the features of the missing as-of days up to the day after the run's; returns rows per table."""
    return FeatureTables(run, lake).build()


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "features", build_features, argv)


if __name__ == "__main__":
    sys.exit(main())
