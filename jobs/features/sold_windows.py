"""Tiles of what is sold (items, categories) -> features as of every day of a range.

Dense: each entity is a row of a days-wide matrix, and a window is a difference of two cumulative sums,
so that a further as-of day costs one subtraction and not another scan.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.plans import SOLD_TOTALS, SOLD_WINDOWED, sold_columns
from jobs.features.windows import dense_window_sums
from jobs.lake.columns import DS, Column, Table, arrow_schema
from jobs.lake.days import DayRange

_MEASURES = tuple(dict.fromkeys((*SOLD_WINDOWED, *SOLD_TOTALS)))
_ENTITIES_AT_ONCE = 1_000
_EPOCH = date(1970, 1, 1).toordinal()


def sold_windows(
    tiles: DataFrame,
    keys: Sequence[str],
    prefix: str,
    config: FeaturesConfig,
    first_day: date,
    as_of: DayRange,
) -> DataFrame:
    """Window sums of each entity for the as-of days of a range, where it was sold in the 28 days before.

    `tiles` reach from `first_day` to the day before the last as-of day.
    """
    columns = [DS, *[Column(key, "string", "") for key in keys], *sold_columns(prefix, config)]
    schema = arrow_schema(columns)
    table = Table(name="", meaning="", ds_is="", key=tuple(keys), columns=tuple(columns[1:]))
    rows = (
        tiles.withColumn("day", F.datediff("ds", F.lit(first_day)))
        .select(*keys, "day", *_MEASURES)
        .repartition(*keys)
        .sortWithinPartitions(*keys, "day")
    )
    days = [(day - first_day).days for day in as_of]
    return rows.mapInArrow(_task(list(keys), prefix, config, schema, first_day, days), table.spark_schema())


def _task(
    keys: list[str], prefix: str, config: FeaturesConfig, schema: pa.Schema, first_day: date, days: list[int]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    as_of = np.arange(days[0], days[1] + 1)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in _whole_entities(batches, keys):
            yield from _features_of(rows, keys, prefix, config, schema, first_day, as_of).to_batches()

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


def _features_of(
    rows: pa.Table,
    keys: list[str],
    prefix: str,
    config: FeaturesConfig,
    schema: pa.Schema,
    first_day: date,
    as_of: np.ndarray,
) -> pa.Table:
    entity = rows["entity"].to_numpy() - rows["entity"][0].as_py()
    day = rows["day"].to_numpy().astype(np.int64)
    shape = (int(entity[-1]) + 1, int(as_of[-1]) + 1)
    sums: dict[str, np.ndarray] = {}
    for measure in _MEASURES:
        windows = [*config.windows_days, shape[1]] if measure in SOLD_WINDOWED else [shape[1]]
        values = dense_window_sums(entity, day, rows[measure].to_numpy(), shape, windows, as_of)
        names = [f"{prefix}_{measure}_{window}d" for window in windows[:-1]] + [f"{prefix}_{measure}"]
        sums |= dict(zip(names, values, strict=True))
    entities, columns = np.nonzero(sums[f"{prefix}_line_count_28d"])
    starts = np.searchsorted(entity, np.arange(shape[0]))
    ids = rows.select(keys).take(pa.array(starts[entities]))
    arrays = {
        name: pa.array(values[entities, columns]) for name, values in sums.items() if name in schema.names
    }
    arrays |= {key: ids[key] for key in keys}
    epoch_days = as_of[columns] + first_day.toordinal() - _EPOCH
    arrays["ds"] = pa.array(epoch_days.astype(np.int32)).cast(pa.date32())
    return pa.table([arrays[name] for name in schema.names], names=schema.names).cast(schema)
