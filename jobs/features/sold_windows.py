"""Tiles of what is sold (items, categories) -> features as of every day of a range.

Dense: each entity is a row of a days-wide matrix, and a window is a difference of two cumulative sums,
so that a further as-of day costs one subtraction and not another scan.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.plans import SOLD_TOTALS, SOLD_WINDOWED, sold_columns
from jobs.features.windows import dense_running_max, dense_window_sums
from jobs.lake.columns import DS, Column, Table, arrow_schema
from jobs.lake.days import DayRange

_MEASURES = tuple(dict.fromkeys((*SOLD_WINDOWED, *SOLD_TOTALS)))
_ENTITIES_AT_ONCE = 1_000
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class RunningMax:
    """A further column: the largest value of `measure` in all days before; rows above `kept_above` stay."""

    measure: str
    column: str
    kept_above: int


def sold_windows(
    tiles: DataFrame,
    keys: Sequence[str],
    prefix: str,
    config: FeaturesConfig,
    first_day: date,
    as_of: DayRange,
    running_max: RunningMax | None = None,
) -> DataFrame:
    """Window sums of each entity for the as-of days of a range, where it was sold in the 28 days before.

    `tiles` reach from `first_day` to the day before the last as-of day.
    """
    columns = [DS, *[Column(key, "string", "") for key in keys], *sold_columns(prefix, config)]
    measures = list(_MEASURES)
    if running_max:
        columns.append(Column(running_max.column, "long", ""))
        measures.append(running_max.measure)
    schema = arrow_schema(columns)
    table = Table(name="", meaning="", ds_is="", key=tuple(keys), columns=tuple(columns[1:]))
    rows = (
        tiles.withColumn("day", F.datediff("ds", F.lit(first_day)))
        .select(*keys, "day", *measures)
        .repartition(*keys)
        .sortWithinPartitions(*keys, "day")
    )
    days = [(day - first_day).days for day in as_of]
    kernel = _Kernel(
        list(keys), prefix, config, schema, first_day, np.arange(days[0], days[1] + 1), running_max
    )
    return rows.mapInArrow(_task(kernel), table.spark_schema())


def _task(kernel: "_Kernel") -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in _whole_entities(batches, kernel.keys):
            yield from kernel.features_of(rows).to_batches()

    return run


def _whole_entities(batches: Iterator[pa.RecordBatch], keys: list[str]) -> Iterator[pa.Table]:
    """All rows of at most `_ENTITIES_AT_ONCE` entities at a time, with their number in `entity`."""
    pending: pa.Table | None = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        pending = pa.concat_tables([pending, rows]) if pending is not None else rows
        numbered = _number_entities(pending, keys)
        last = numbered["entity"][-1].as_py()
        whole = pc.less(numbered["entity"], last)
        yield from _chunks(numbered.filter(whole))
        pending = pending.filter(pc.invert(whole))
    if pending is not None and pending.num_rows:
        yield from _chunks(_number_entities(pending, keys))


def _number_entities(rows: pa.Table, keys: list[str]) -> pa.Table:
    differs = np.zeros(rows.num_rows, dtype=np.int64)
    for key in keys:
        values = rows[key].combine_chunks()
        differs[1:] |= pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
    return rows.append_column("entity", pa.array(np.cumsum(differs)))


def _chunks(rows: pa.Table) -> Iterator[pa.Table]:
    entity = rows["entity"].to_numpy()
    for first in range(0, int(entity[-1]) + 1 if len(entity) else 0, _ENTITIES_AT_ONCE):
        start, end = np.searchsorted(entity, [first, first + _ENTITIES_AT_ONCE])
        yield rows.slice(start, end - start)


@dataclass(frozen=True)
class _Kernel:
    """What turns the tiles of some entities into their rows; `as_of` are days since `first_day`."""

    keys: list[str]
    prefix: str
    config: FeaturesConfig
    schema: pa.Schema
    first_day: date
    as_of: np.ndarray
    running_max: RunningMax | None

    def features_of(self, rows: pa.Table) -> pa.Table:
        entity = rows["entity"].to_numpy() - rows["entity"][0].as_py()
        day = rows["day"].to_numpy().astype(np.int64)
        shape = (int(entity[-1]) + 1, int(self.as_of[-1]) + 1)
        sums = self._window_sums(rows, entity, day, shape)
        keep = sums[f"{self.prefix}_line_count_28d"] > 0
        if self.running_max:
            values = rows[self.running_max.measure].to_numpy()
            largest = dense_running_max(entity, day, values, shape, self.as_of)
            sums[self.running_max.column] = largest
            keep = keep | (largest > self.running_max.kept_above)
        entities, columns = np.nonzero(keep)
        starts = np.searchsorted(entity, np.arange(shape[0]))
        ids = rows.select(self.keys).take(pa.array(starts[entities]))
        names = self.schema.names
        arrays = {name: pa.array(values[entities, columns]) for name, values in sums.items() if name in names}
        arrays |= {key: ids[key] for key in self.keys}
        epoch_days = self.as_of[columns] + self.first_day.toordinal() - _EPOCH
        arrays["ds"] = pa.array(epoch_days.astype(np.int32)).cast(pa.date32())
        return pa.table([arrays[name] for name in names], names=names).cast(self.schema)

    def _window_sums(
        self, rows: pa.Table, entity: np.ndarray, day: np.ndarray, shape: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        sums: dict[str, np.ndarray] = {}
        for measure in _MEASURES:
            windows = [*self.config.windows_days, shape[1]] if measure in SOLD_WINDOWED else [shape[1]]
            values = dense_window_sums(entity, day, rows[measure].to_numpy(), shape, windows, self.as_of)
            names = [f"{self.prefix}_{measure}_{window}d" for window in windows[:-1]]
            sums |= dict(zip([*names, f"{self.prefix}_{measure}"], values, strict=True))
        return sums
