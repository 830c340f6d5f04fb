"""What the columns of examples must hold, as the model says that reads them.

What breaks a rule would be trained on all the same: a label of -1 as a negative, an id read as a number as an
unknown one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl_model.config import ModelConfig, TaskConfig

GROUP_COLUMN = "user_id"
RATE_COLUMN = "sampling_rate"

LARGEST = float(np.finfo(np.float32).max)  # of a label, which is trained on as a float32
NUM_NAMED = 5  # values in a message

Floats = npt.NDArray[np.float64]


def is_number(kind: pa.DataType) -> bool:
    types = pa.types
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(number or types.is_boolean(kind) or types.is_null(kind))


def is_whole_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_null(kind))


def is_id(kind: pa.DataType) -> bool:
    """Texts, and what is always written as the same text: 7.0 and 7 are not."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_id(kind.value_type)
    text = types.is_string(kind) or types.is_large_string(kind)
    return bool(text or types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind))


def is_list_of(is_item: Callable[[pa.DataType], bool], kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(pa.types.is_null(kind) or (is_list and is_item(kind.value_type)))


@dataclass(frozen=True)
class ColumnRule:
    """The type and, of numbers, the bounds of a column; `width` values a row where it holds lists of them.

    `wanted` and `advice` are words for whoever reads the error.
    """

    column: str
    what: str
    wanted: str
    advice: str
    accepts: Callable[[pa.DataType], bool]
    bounds: tuple[float, float] | None = None
    whole: bool = False
    nullable: bool = True
    width: int | None = None

    def fits(self, values: Floats) -> npt.NDArray[np.bool_]:
        """Which numbers are within the bounds; one that is no number is not."""
        low, high = self.bounds or (-np.inf, np.inf)
        fits = (values >= low) & (values <= high)
        return fits & (values == np.rint(values)) if self.whole else fits

    def check_type(self, kind: pa.DataType, examples: Sequence[str] = ()) -> None:
        """Raises ValueError, with `examples` of the values, unless a column of this type can be read."""
        if not self.accepts(kind):
            found = f"values such as {', '.join(examples)} of type {kind}" if examples else f"type {kind}"
            raise ValueError(f"{self.what} {self.column} must be {self.wanted}, got {found}: {self.advice}")

    def read_numbers(self, column: pa.ChunkedArray) -> Floats:
        """The numbers of a column of the right type: nulls left out, those of lists one after the other.

        Raises:
            ValueError: with the values that should not be there.
        """
        if column.null_count and not self.nullable:
            self._refuse([None], column.null_count, len(column))
        numbers = column.drop_null()
        if self.width is not None and not pa.types.is_null(column.type):
            lengths = pc.unique(pc.list_value_length(numbers)).to_pylist()
            if lengths not in ([], [self.width]):
                name = f"{self.what} {self.column}"
                raise ValueError(f"{name} must hold {self.width} values in each row, got lengths {lengths}")
            numbers = pc.list_flatten(numbers)
        values: Floats = numbers.cast(pa.float64(), safe=False).to_numpy()
        fits = self.fits(values)
        if not fits.all():
            bad = np.unique(values[~fits])[:NUM_NAMED].tolist()
            self._refuse(bad, len(values) - int(fits.sum()), len(values))
        return values

    def _refuse(self, found: Sequence[float | None], count: int, num_values: int) -> NoReturn:
        raise ValueError(
            f"{self.what} {self.column} must be {self.wanted}, got {found} in {count} of {num_values} "
            f"values: {self.advice}"
        )


def feature_rules(model: ModelConfig) -> list[ColumnRule]:
    """Of the columns that the model reads; numbers may be missing, not finite or far out."""
    rules = []
    for field in model.fields:
        what, is_list = f"field of kind {field.kind}", field.kind == "id_list"
        if field.kind == "numeric":
            advice = "a text is no number; make it one where the examples are made, or the field an id"
            rules.append(ColumnRule(field.name, what, "a number", advice, is_number))
            continue
        wanted = "a list of texts or whole numbers" if is_list else "a text or a whole number"
        advice = "values are looked up as text; make them text where the examples are made"
        accepts = _is_id_list if is_list else is_id
        rules.append(ColumnRule(field.name, what, wanted, advice, accepts))
    return rules


def training_rules(model: ModelConfig, label_names: Mapping[str, Sequence[str]]) -> list[ColumnRule]:
    """Of all columns that a training reads."""
    example_id = ColumnRule(
        "example_id", "column", "a whole number in every row", "it names the row",
        is_whole_number, nullable=False,
    )  # fmt: skip
    labels = [label_rule(task, len(label_names.get(task.name, ("",)))) for task in model.tasks]
    return [example_id, *feature_rules(model), *labels]


def judging_rules(model: ModelConfig, label_names: Mapping[str, Sequence[str]]) -> list[ColumnRule]:
    """Of all columns that judging a model reads."""
    group = ColumnRule(GROUP_COLUMN, "column", "a text or a whole number", "it names the user", is_id)
    rate = ColumnRule(
        RATE_COLUMN, "column", "above 0 and at most 1 in every row",
        "it is the probability that the row was kept, 1 where none was left out",
        is_number, (float(np.nextafter(0, 1)), 1.0), nullable=False,
    )  # fmt: skip
    rules = {rule.column: rule for rule in (group, *training_rules(model, label_names), rate)}
    return list(rules.values())


def label_rule(task: TaskConfig, width: int) -> ColumnRule:
    """Of a task's label; a null says that it was not observed."""
    advice = (
        "null is for what was not observed; map other values where the examples are made, or choose another "
        f"head for task {task.name}"
    )
    if task.head == "multilabel":
        wanted, accepts = f"lists of {width} values, 0 or 1", _is_number_list
        return ColumnRule(task.label, "label", wanted, advice, accepts, (0.0, 1.0), whole=True, width=width)
    wanted, low, high = _label_bounds(task)
    is_class = task.head == "binary" or task.num_classes is not None
    return ColumnRule(task.label, "label", wanted, advice, is_number, (low, high), whole=is_class)


def _label_bounds(task: TaskConfig) -> tuple[str, float, float]:
    if task.num_classes is not None:
        return f"0 to {task.num_classes - 1}", 0.0, task.num_classes - 1.0
    return {
        "binary": ("0 or 1", 0.0, 1.0),
        "zero_inflated_lognormal": ("a finite number, 0 or above", 0.0, LARGEST),
        "regression": ("a finite number", -LARGEST, LARGEST),
    }[task.head]


def check_types(schema: pa.Schema, rules: Sequence[ColumnRule]) -> None:
    """Raises ValueError if a column is missing or of a type that cannot be read."""
    check_names(schema, rules)
    for rule in rules:
        rule.check_type(schema.field(rule.column).type)


def check_names(schema: pa.Schema, rules: Sequence[ColumnRule]) -> None:
    known = set(schema.names)
    if missing := [rule.column for rule in rules if rule.column not in known]:
        raise ValueError(f"the rows lack columns that the model reads: {missing}; they have {schema.names}")


def _is_id_list(kind: pa.DataType) -> bool:
    return is_list_of(is_id, kind)


def _is_number_list(kind: pa.DataType) -> bool:
    return is_list_of(is_number, kind)
