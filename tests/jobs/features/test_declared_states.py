"""A night that goes on from yesterday's state gives what all tiles give, bit for bit."""

from datetime import date, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from pyspark.sql import SparkSession

from jobs.config import ScenarioConfig
from jobs.features.config import COUNTED, OF_CONTEXTS, DeclaredFeature
from jobs.features.declared_states import StatePlan, rows_of, state_plans
from jobs.features.declared_windows import declared_query, features_as_of
from jobs.features.shares import PARENTS, share_finisher
from jobs.lake.days import days_between
from jobs.lake.sort_rows import sort_rows
from tests.jobs.features.declared_oracle import Event
from tests.jobs.features.generated_logs import (
    DAYS,
    FIRST_DAY,
    NUM_DAYS,
    catalogue,
    drawn_logs,
    frame,
    random_logs,
    scenario_with,
)
from tests.jobs.features.test_declared import CONFIG, ENTITIES
from tests.jobs.features.tiles import make_tiles_of

HALF = tuple(one for number, one in enumerate(CONFIG.declared) if number % 4 in {0, 3})  # of all measures
OF_ALL_DAYS = tuple(
    DeclaredFeature.model_validate({**one, "entity": entity, "events": ["cart", "rating"]})
    for entity in ENTITIES
    for one in (
        {"measure": "min", "of": "value"},
        {"measure": "max", "of": "rating"},
        {"measure": "mean", "of": "rating"},
        {"measure": "last", "of": "value"},
        *[{"measure": "distinct_count", "of": of} for of in sorted(COUNTED[entity])],
    )
    if entity != "context" or one["measure"] in OF_CONTEXTS
)
WINDOWED = tuple(one for one in HALF if one.windows_days)


class Nights:
    """Both ways to make one entity's tables as of a day, from the same tiles."""

    def __init__(self, scenario: ScenarioConfig, plan: StatePlan, tiles: pa.Table, items: pa.Table) -> None:
        self.config, self.plan, self.tiles, self.items = scenario.features, plan, tiles, items

    def night(self, day: date, state: pa.Table | None) -> tuple[pa.Table, pa.Table]:
        """State and features as of a day, from the state of the day before, or from all tiles."""
        chained = state is not None
        with self._database(self.plan.tile_days(day, FIRST_DAY, chained)) as database:
            if chained:
                database.register(self.plan.state.name, state)
            found = database.sql(self.plan.group_query(chained), params={"day": day}).to_arrow_table()
            grouped = sort_rows(found, self.plan.state.key)
            database.register("grouped", grouped)
            features = database.sql(self.plan.feature_query, params={"day": day}).to_arrow_table()
            return grouped.select(self.plan.state.column_names[1:]), features

    def bulk(self, day: date) -> pa.Table:
        of_users = "user_id" in self.plan.features.key
        with self._database(set(days_between(FIRST_DAY, day))) as database:
            rows = "SELECT * EXCLUDE (category_id) FROM tile" if of_users else rows_of(self.plan.features)
            tiles = database.sql(f"SELECT * FROM ({rows})").to_arrow_table()
        entity, table = self.plan.entity, self.plan.features
        query = declared_query(self.config, entity, table, self.plan.top)
        ((_, _, features),) = features_as_of(tiles, {"": query}, [day])
        finish = share_finisher(self.config, entity, table)
        return finish(self._with_parents(features)) if finish else features

    def _with_parents(self, features: pa.Table) -> pa.Table:
        if self.plan.entity != "item":
            return features
        with self._database(set()) as database:
            database.register("counted", features)
            levels = f"SELECT item_id, {', '.join(PARENTS)} FROM item_level"
            query = f"SELECT * FROM counted LEFT JOIN ({levels}) USING (item_id)"
            return database.sql(query).to_arrow_table()

    def _database(self, days: set[date]) -> duckdb.DuckDBPyConnection:
        database = duckdb.connect(config={"threads": 1})
        database.register("event_tile", self.tiles.filter(pc.is_in(self.tiles["ds"], pa.array(sorted(days)))))
        database.register("catalogue", self.items)
        database.execute(self.plan.tile_view)
        return database


KINDS = pytest.mark.parametrize(
    "declared", [HALF + OF_ALL_DAYS, WINDOWED], ids=["all days before", "windows"]
)


@KINDS
@settings(max_examples=2)
@given(logs=drawn_logs())
def test_nights_from_states_equal_nights_from_all_tiles(
    spark: SparkSession, declared: tuple[DeclaredFeature, ...], logs: list[list[Event]]
) -> None:
    sizes = check_nights(spark, declared, logs)

    assert declared is not WINDOWED or not any(sizes)


@KINDS
@pytest.mark.acceptance
def test_nights_from_states_equal_nights_from_all_tiles_on_300_logs(
    spark: SparkSession, declared: tuple[DeclaredFeature, ...]
) -> None:
    sizes = check_nights(spark, declared, random_logs(300))

    assert all(bool(size) == (declared is not WINDOWED) for size in sizes)


def check_nights(
    spark: SparkSession, declared: tuple[DeclaredFeature, ...], logs: list[list[Event]]
) -> list[int]:
    """How many rows the last states have. Two days have no event at all; the first state has none before."""
    events = [event for log in logs for event in log if event["ds"] not in {DAYS[3], DAYS[6]}]
    scenario = scenario_with(CONFIG.model_copy(update={"declared": declared}))
    rows, items = frame(spark, events), catalogue(events)
    last_day = DAYS[NUM_DAYS] + timedelta(days=7 if declared is WINDOWED else 0)  # the longest window is over
    plans = [plan for of_users in (True, False) for plan in state_plans(scenario, of_users)]

    sizes = []
    for plan in plans[:: 3 if declared is WINDOWED else 1]:  # falling out is the same for all entities
        tiles = make_tiles_of(plan.entity, rows, scenario).toArrow()
        nights, state = Nights(scenario, plan, tiles, items), None
        for day in days_between(DAYS[4], last_day):
            state, features = nights.night(day, state)
            if day in {DAYS[8], last_day}:
                assert state.equals(nights.night(day, None)[0]), (plan.entity, day)
                assert features.equals(nights.bulk(day)), (plan.entity, day)
        assert state is not None
        sizes.append(state.num_rows)
    return sizes
