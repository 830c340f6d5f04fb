"""Tiles of user-keyed entities -> their features as of each user's own as-of days.

Runs inside Spark tasks on Arrow batches that hold all rows of their users, sorted by user, key and day:
a few numpy passes over a batch, one per as-of day of its users, in place of a join of every tile with
every later anchor (docs/decisions/0004-windows.md).
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.plans import WindowPlan
from jobs.features.windows import HALF_LIFE_UNIT, NO_DAY, EntityRows, Ints, rank_within, ratio
from jobs.lake.columns import Table

BATCH_ROWS = 200_000
_Arrays = dict[str, np.ndarray]


def windows_as_of(
    tiles: DataFrame, as_of: DataFrame, plan: WindowPlan, table: Table, config: FeaturesConfig
) -> DataFrame:
    """Features of `plan` for every as-of day of every user, in the columns of `table`.

    `as_of` has columns user_id and ds (the as-of day), each pair once. Entities without a purchase
    before the day have no row.
    """
    days = as_of.groupBy("user_id").agg(F.sort_array(F.collect_set(F.unix_date("ds"))).alias("as_of_days"))
    rows = (
        tiles.join(days, "user_id")
        .select("user_id", *plan.keys, F.unix_date("ds").alias("day"), *plan.measures, "as_of_days")
        .repartition("user_id")
        .sortWithinPartitions("user_id", *plan.keys, "day")
    )
    return rows.mapInArrow(_task(plan, config, table.arrow_schema()), table.spark_schema())


def _task(
    plan: WindowPlan, config: FeaturesConfig, schema: pa.Schema
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in whole_users(batches, BATCH_ROWS):
            entities = UserEntities(rows, plan, config, schema)
            for days in as_of_passes(rows, entities):
                yield from entities.features_as_of(days).to_batches()

    return run


def as_of_passes(rows: pa.Table, entities: "UserEntities") -> Iterator[Ints]:
    """The n-th of `as_of_days` of each entity, for n = 0, 1 ...; `NO_DAY` where it has fewer."""
    as_of = rows["as_of_days"].take(pa.array(entities.rows.starts)).combine_chunks()
    offsets, days = as_of.offsets.to_numpy(), as_of.values.to_numpy().astype(np.int64)
    for index in range(int(np.diff(offsets).max(initial=0))):
        at = offsets[:-1] + index
        yield np.where(at < offsets[1:], days[np.minimum(at, len(days) - 1)], NO_DAY)


def whole_users(batches: Iterator[pa.RecordBatch], min_rows: int, key: str = "user_id") -> Iterator[pa.Table]:
    """Regroups sorted batches so that all rows of a user come together, about `min_rows` rows at a time.

    A row is looked at once, also where a user has the rows of many batches.
    """
    pending: list[pa.RecordBatch] = []
    count, last_user = 0, None
    for batch in batches:
        if not batch.num_rows:
            continue
        users = batch.column(key)
        start = pc.index(pc.equal(users, users[-1]), True).as_py()  # of the rows of the last user
        is_whole = start > 0 or users[-1] != last_user
        last_user = users[-1]
        if is_whole and count + start >= min_rows:
            yield pa.Table.from_batches([*pending, batch.slice(0, start)]).combine_chunks()
            pending, count, batch = [], 0, batch.slice(start)
        pending.append(batch)
        count += batch.num_rows
    if count:
        yield pa.Table.from_batches(pending).combine_chunks()


class UserEntities:
    """The tiles of some users, sorted by user, the keys of `plan` and day; all rows of a user are there.

    `features_as_of` keeps the strongest `top` of a user by rank.
    """

    def __init__(
        self,
        tiles: pa.Table,
        plan: WindowPlan,
        config: FeaturesConfig,
        schema: pa.Schema,
        top: int | None = None,
    ) -> None:
        self.plan, self.config, self.schema, self.top = plan, config, schema, top
        starts = _run_starts(tiles, ("user_id", *plan.keys))
        self.groups = _group_of(tiles, ("user_id", *plan.keys[:-1]), starts)
        measures = {name: _ints(tiles[name]) for name in plan.measures}
        self.rows = EntityRows(starts, _ints(tiles["day"]), measures)
        self.ids = tiles.select(["user_id", *plan.keys]).take(pa.array(starts))

    def features_as_of(self, days: Ints) -> pa.Table:
        """Rows of the entities that were bought before their as-of day; `days` is (E,), since 1970-01-01."""
        columns, keep = self._columns_as_of(days)
        chosen = np.flatnonzero(keep)
        selected = self.ids.take(pa.array(chosen))
        arrays = {name: _nullable(values[chosen]) for name, values in columns.items()}
        arrays |= {name: selected[name] for name in selected.column_names}
        arrays["ds"] = pa.array(days[chosen].astype(np.int32)).cast(pa.date32())
        names = self.schema.names
        return pa.table([arrays[name] for name in names], names=names).cast(self.schema)

    def _columns_as_of(self, days: Ints) -> tuple[_Arrays, np.ndarray]:
        """All features of every entity as of its day, and which entities have a row."""
        entities, plan, config = self.rows, self.plan, self.config
        ages = entities.ages(days)
        columns: _Arrays = {}
        for measure in plan.windowed:
            sums = entities.window_sums(ages, measure, config.windows_days)
            for window, values in zip(config.windows_days, sums, strict=True):
                columns[f"{plan.prefix}_{measure}_{window}d"] = values
        for measure in plan.totals:
            columns[f"{plan.prefix}_{measure}"] = entities.total(ages, measure)
        columns |= _rhythm(entities, ages, plan)
        keep = columns[f"{plan.prefix}_day_count"] > 0
        if plan.half_life_of:
            weighted = {
                half_life: entities.half_life_sum(ages, plan.half_life_of, half_life)
                for half_life in config.half_lives_days
            }
            for half_life, weighted_sum in weighted.items():
                columns[f"{plan.prefix}_half_life_{half_life}d"] = weighted_sum / HALF_LIFE_UNIT
        if plan.ranked:
            strength = weighted[config.half_lives_days[0]]
            rank = rank_within(self.groups, np.where(keep, strength, -1))
            totals = np.bincount(self.groups, weights=strength, minlength=int(self.groups.max(initial=0)) + 1)
            columns[f"{plan.prefix}_rank"] = rank
            columns[f"{plan.prefix}_share"] = ratio(strength.astype(np.float64), totals[self.groups])
            keep = keep & (rank <= self.top) if self.top else keep
        return columns, keep


def _rhythm(entities: EntityRows, ages: Ints, plan: WindowPlan) -> _Arrays:
    """When the entity was bought, how regularly, and how often on discount."""
    bought_at = np.where(entities.measures["line_count"] > 0, ages, 0)  # a coupon alone is no purchase
    day_count = entities.day_count(bought_at)
    last, first = entities.days_since_last(bought_at), entities.days_since_first(bought_at)
    interval = ratio(first - last, day_count - 1)
    lines, discounted = entities.total(ages, "line_count"), entities.total(ages, "discount_line_count")
    values = {
        "day_count": day_count,
        "days_since_last": last,
        "days_since_first": first,
        "mean_interval": interval,
        "due": ratio(last.astype(np.float64), np.nan_to_num(interval)),
        "discount_share": ratio(discounted, lines),
    }
    return {f"{plan.prefix}_{name}": value for name, value in values.items()}


def _run_starts(rows: pa.Table, names: tuple[str, ...]) -> Ints:
    """Indices of the rows whose `names` differ from the row before."""
    differs = np.zeros(rows.num_rows, dtype=bool)
    differs[:1] = True
    for name in names:
        values = rows[name].combine_chunks()
        differs[1:] |= pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
    return np.flatnonzero(differs)


def _group_of(rows: pa.Table, names: tuple[str, ...], starts: Ints) -> Ints:
    """For each entity the number of the group (user, or user and level) that it is ranked in."""
    return np.searchsorted(_run_starts(rows, names), starts, side="right").astype(np.int64) - 1


def _ints(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, from_pandas=True)  # NaN becomes null
