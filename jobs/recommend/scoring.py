"""Scores rows in Spark: the model is loaded once per worker process and reads Arrow batches."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import types as spark_types

if TYPE_CHECKING:
    from mtl_model.predict import Predictor


def score(
    rows: DataFrame, model_folder: Path, keys: list[str], tasks: dict[str, str], keep: Sequence[str] = ()
) -> DataFrame:
    """Adds predictions to the columns in `keys`, which name a row, and `keep`.

    `tasks` maps a task to the column that its prediction goes to: a double, for a multilabel task a list.
    Rows are placed and sorted by their keys first: the last bit of a matrix product depends on the rows
    beside, and equal inputs must give equal tables.
    """
    keep = [*keys, *keep]
    predictor = _load(str(model_folder))
    task_types = [
        spark_types.ArrayType(spark_types.FloatType())
        if task in predictor.label_names
        else spark_types.DoubleType()
        for task in tasks
    ]
    outputs = [
        spark_types.StructField(column, kind) for column, kind in zip(tasks.values(), task_types, strict=True)
    ]
    schema = spark_types.StructType([*[rows.schema[name] for name in keep], *outputs])
    num_partitions = int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)
    needed = rows.select(list(dict.fromkeys([*keep, *predictor.columns])))
    placed = needed.repartition(num_partitions, keys[0]).sortWithinPartitions(*keys)
    return placed.mapInArrow(_task(str(model_folder), keep, tasks), schema)


@lru_cache(maxsize=1)
def _load(folder: str) -> "Predictor":
    import torch  # only worker processes and the one driver that scores pay for it

    from mtl_model.predict import load_predictor

    torch.set_num_threads(1)  # Spark runs one task per core
    return load_predictor(Path(folder))


def _task(
    folder: str, keep: list[str], tasks: dict[str, str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        predictor = _load(folder)
        for batch in batches:
            if not batch.num_rows:
                continue
            predictions = predictor.predict(batch)
            scored = batch.select(keep)
            arrays = [scored.column(name) for name in keep]
            arrays += [_to_arrow(predictions[task], task in predictor.label_names) for task in tasks]
            yield pa.RecordBatch.from_arrays(arrays, names=[*keep, *tasks.values()])

    return run


def _to_arrow(values: NDArray[np.float32], is_list: bool) -> pa.Array:
    if not is_list:
        return pa.array(values.astype(np.float64))
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
