"""Files of examples against the rules of their columns, before a training begins or a model is judged.

What the statistics in a file's footer prove is not read: whole numbers, as labels mostly are, cost nothing.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_model.config import TrainSpec
from mtl_model.data.column_rules import NUM_NAMED, ColumnRule, check_names, judging_rules, training_rules


def check_files_of(spec: TrainSpec) -> None:
    """Raises ValueError, with file, column and values, if a training would read what it cannot learn from."""
    judged_on = dict.fromkeys((*spec.validation_files, *spec.calibration_files))
    trained_on = dict.fromkeys((*spec.train_files, *spec.final_files))
    check_files(judged_on, judging_rules(spec.model, spec.label_names))
    unseen = (path for path in trained_on if path not in judged_on)
    check_files(unseen, training_rules(spec.model, spec.label_names))


def check_files(files: Iterable[Path], rules: Sequence[ColumnRule]) -> None:
    """Raises ValueError, with file, column and values, if a file breaks a rule."""
    first: tuple[Path, pa.Schema] | None = None
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                _check_file(file, rules)
                first = first or (path, file.schema_arrow)
                if file.schema_arrow != first[1]:
                    _check_alike(file.schema_arrow, *first, rules)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _check_file(file: pq.ParquetFile, rules: Sequence[ColumnRule]) -> None:
    check_names(file.schema_arrow, rules)
    places = {file.schema.column(index).path: index for index in range(len(file.schema))}
    for rule in rules:
        kind = file.schema_arrow.field(rule.column).type
        rule.check_type(kind, () if rule.accepts(kind) else _first_values(file, rule.column))
        if rule.bounds is None and rule.nullable:
            continue
        for group in range(file.num_row_groups):
            place = places.get(rule.column)  # None of a list
            if place is None or not _is_proven(file.metadata.row_group(group).column(place), kind, rule):
                rows = file.read_row_group(group, columns=[rule.column], use_threads=False)
                rule.read_numbers(rows.column(0))


def _check_alike(
    schema: pa.Schema, first: Path, schema_of_first: pa.Schema, rules: Sequence[ColumnRule]
) -> None:
    """Rows of several files are read together."""
    for name in (rule.column for rule in rules):
        kinds = [of.field(name).type for of in (schema, schema_of_first)]
        try:
            pa.unify_schemas([pa.schema([(name, kind)]) for kind in kinds], promote_options="permissive")
        except pa.ArrowTypeError as error:
            raise ValueError(
                f"{name} is of type {kinds[0]}, but of type {kinds[1]} in {first}: write both alike"
            ) from error


def _is_proven(chunk: pq.ColumnChunkMetaData, kind: pa.DataType, rule: ColumnRule) -> bool:
    """Whether the least and the greatest value say all: not of floats, some of which may be no numbers."""
    found = chunk.statistics
    if found is None or not found.has_null_count or (found.null_count and not rule.nullable):
        return False
    if found.null_count == chunk.num_values:
        return True
    if not found.has_min_max or not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return False
    return bool(rule.fits(np.array([found.min, found.max], dtype=np.float64)).all())


def _first_values(file: pq.ParquetFile, column: str) -> list[str]:
    for batch in file.iter_batches(1_000, columns=[column]):
        return [repr(value.as_py()) for value in batch.column(0).drop_null()[:NUM_NAMED]]
    return []
