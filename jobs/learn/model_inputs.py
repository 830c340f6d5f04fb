"""What a training needs beside rows: statistics of the numbers and vocabularies of the ids."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl_model.config import NumericField, NumericStatistics
from mtl_model.data.config import IdField, IdListField

_ROWS_PER_FILE = 1_000


def sample_rows(
    files: Sequence[str], columns: Sequence[str], rows_per_file: int = _ROWS_PER_FILE
) -> pa.Table:
    """The first rows of every file: a uniform sample of bounded size, for examples are sorted by a hash."""
    heads = []
    for path in files:
        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(rows_per_file, columns=list(columns)), None)
        if batch is not None:
            heads.append(pa.Table.from_batches([batch]))
    return pa.concat_tables(heads)


def measure_numbers(rows: pa.Table, fields: Sequence[NumericField]) -> dict[str, NumericStatistics]:
    """Mean and deviation of each number as the model sees it, and its quantile boundaries.

    A flag, a column of nothing but 0 and 1, stays as it is: standardised, a rare 1 would be a large number.
    """
    return {field.name: _measure(rows[field.name], field) for field in fields}


def _measure(column: pa.ChunkedArray, field: NumericField) -> NumericStatistics:
    values = np.sort(column.drop_null().cast(pa.float64()).to_numpy())
    if not len(values):
        return NumericStatistics(mean=0.0, std=0.0)
    seen = np.copysign(np.log1p(np.abs(values)), values) if field.log1p else values
    shares = np.arange(1, field.num_buckets) / max(field.num_buckets, 1)
    boundaries = np.unique(np.quantile(values, shares, method="lower")) if field.num_buckets else np.array([])
    is_flag = np.isin(values, (0.0, 1.0)).all()
    mean, std = (0.0, 1.0) if is_flag else (float(seen.mean()), float(seen.std()))
    return NumericStatistics(mean=mean, std=std, boundaries=tuple(boundaries.tolist()))


def write_vocabularies(
    vocabularies: pa.Table, fields: Sequence[IdField | IdListField], folder: Path
) -> dict[str, Path]:
    """One Parquet file per field, its values in row order."""
    paths = {}
    for field in fields:
        rows = vocabularies.filter(pc.equal(vocabularies["field"], field.name)).sort_by("row")
        paths[field.name] = folder / f"{field.name}.parquet"
        pq.write_table(rows.select(["value"]), paths[field.name])
    return paths
