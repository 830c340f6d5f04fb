"""What a training needs beside rows: statistics of the numbers and vocabularies of the ids."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.dataset import dataset

from mtl_model.config import NumericField, NumericStatistics
from mtl_model.data.config import IdField, IdListField

_ROWS_PER_FILE = 1_000
_ROWS_PER_BATCH = 1_000_000
_VALUES = pa.schema([("value", pa.string())])


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
    train_files: Sequence[str],
    later_files: Sequence[str],
    fields: Sequence[IdField | IdListField],
    folder: Path,
) -> tuple[dict[str, Path], dict[str, Path]]:
    """A file per field of the values in `train_files`, and one of those that `later_files` add.

    A value must stand there `min_count` times. DuckDB counts, on disk where it must: there may be many.
    """
    known, new = (_name_files(folder / name, fields) for name in ("vocabularies", "new_values"))
    with duckdb.connect(config={"temp_directory": str(folder / "spilled")}) as database:
        database.register("train", dataset(train_files, format="parquet"))
        database.register("later", dataset(later_files or train_files[:1], format="parquet"))
        for field in fields:
            _count_values(database, field, with_later=bool(later_files))
            _write_values(database, "is_known", known[field.name])
            _write_values(database, "NOT is_known", new[field.name])
    return known, new if later_files else {}


def _name_files(folder: Path, fields: Sequence[IdField | IdListField]) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    return {field.name: folder / f"{field.name}.parquet" for field in fields}


def _count_values(
    database: duckdb.DuckDBPyConnection, field: IdField | IdListField, *, with_later: bool
) -> None:
    """Makes the table `counted`: each value, and whether the training files alone make it known."""
    column = '"' + field.name.replace('"', '""') + '"'
    values = f"unnest({column})" if isinstance(field, IdListField) else column
    database.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE counted AS
        SELECT value, count(*) FILTER (is_train) >= $min_count AS is_known
        FROM (
            SELECT {values} AS value, true AS is_train FROM train
            UNION ALL SELECT {values}, false FROM later WHERE $with_later
        )
        WHERE value IS NOT NULL GROUP BY value HAVING count(*) >= $min_count""",
        {"min_count": field.min_count, "with_later": with_later},
    )


def _write_values(database: duckdb.DuckDBPyConnection, condition: str, path: Path) -> None:
    """In their order; as the texts that the encoder makes of them."""
    found = database.sql(f"SELECT value FROM counted WHERE {condition} ORDER BY value")
    with pq.ParquetWriter(path, _VALUES) as writer:
        for batch in found.to_arrow_reader(_ROWS_PER_BATCH):
            writer.write_table(pa.table([batch.column(0).cast(pa.string())], schema=_VALUES))
