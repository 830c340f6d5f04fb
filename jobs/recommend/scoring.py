"""Scores rows: the model is loaded once per worker process and reads Arrow batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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


def add_predictions(rows: pa.Table, model_folder: Path, tasks: Mapping[str, str]) -> pa.Table:
    """Adds the prediction of each task as the column that `tasks` names: a double, or a list of a multilabel.

    Fields of the model that `rows` do not have are null. The last bit of a matrix product depends on the
    rows beside: rows in the same order give the same predictions.
    """
    predictor = load_model(str(model_folder))
    predictions = predictor.predict(complete_fields(rows, predictor.columns))
    for task, column in tasks.items():
        is_list = task in predictor.label_names
        rows = rows.append_column(column, _to_arrow(predictions[task], is_list))
    return rows


def complete_fields(rows: pa.Table, fields: Sequence[str]) -> pa.Table:
    """The rows with the fields that they lack, as nulls."""
    for name in fields:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows))
    return rows


def score(rows: DataFrame, model_folder: Path, keys: list[str], task: str, column: str) -> DataFrame:
    """The columns in `keys`, which name a row, and the prediction of a task as the double `column`.

    Rows are placed and sorted by their keys first, so that equal inputs give equal tables.
    """
    predictor = load_model(str(model_folder))
    schema = spark_types.StructType(
        [*[rows.schema[name] for name in keys], spark_types.StructField(column, spark_types.DoubleType())]
    )
    present = [name for name in predictor.columns if name in rows.columns]
    needed = rows.select(list(dict.fromkeys([*keys, *present])))
    num_partitions = int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)
    placed = needed.repartition(num_partitions, keys[0]).sortWithinPartitions(*keys)
    return placed.mapInArrow(_task(model_folder, keys, {task: column}), schema)


@lru_cache(maxsize=1)
def load_model(folder: str) -> "Predictor":
    import torch  # only worker processes and the one driver that scores pay for it

    from mtl_model.predict import load_predictor

    torch.set_num_threads(1)  # Spark runs one task per core
    return load_predictor(Path(folder))


def _task(
    folder: Path, keys: list[str], tasks: Mapping[str, str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                scored = add_predictions(pa.Table.from_batches([batch]), folder, tasks)
                yield from scored.select([*keys, *tasks.values()]).combine_chunks().to_batches()

    return run


def _to_arrow(values: NDArray[np.float32], is_list: bool) -> pa.Array:
    if not is_list:
        return pa.array(values.astype(np.float64))
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
