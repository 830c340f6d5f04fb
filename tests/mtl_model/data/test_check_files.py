"""What a model cannot learn from or be judged on is refused by file, column and value, before it is read."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_model.config import TaskConfig, TrainSpec
from mtl_model.data.check_files import check_files
from mtl_model.data.column_rules import label_rule
from mtl_model.evaluation.evaluate import evaluate
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train
from tests.mtl_model.conftest import MODEL

MakeSpec = Callable[..., TrainSpec]
LIST = pa.list_(pa.float64())
RATING = {"name": "rating", "head": "ordinal", "label": "label_rating", "loss_weight": 1.0, "num_classes": 5}
OTHERS = [
    *MODEL["tasks"],
    RATING,
    {**RATING, "name": "channel", "head": "multiclass", "label": "label_channel", "num_classes": 3},
    {"name": "minutes", "head": "regression", "label": "label_minutes", "loss_weight": 0.1},
]


def spoil(path: Path, column: str, values: list[Any], kind: pa.DataType | None = None) -> None:
    """Puts the values into the last rows of a file, of its last row group."""
    table = pq.read_table(path)
    old = table[column].to_pylist()
    changed = pa.array([*old[: len(old) - len(values)], *values], kind)
    spoilt = table.set_column(table.schema.get_field_index(column), column, changed)
    pq.write_table(spoilt, path, row_group_size=40)


def run_alone(spec: TrainSpec) -> None:
    with join_process_group() as group:
        train(spec, group)


LABELS = [
    pytest.param("label_purchase", [-1, 1], None, r"0 or 1, got \[-1.0\] in 1 of", id="-1"),
    pytest.param("label_purchase", [2, 2], None, r"0 or 1, got \[2.0\] in 2 of", id="2"),
    pytest.param("label_purchase", [0.5], pa.float64(), r"0 or 1, got \[0.5\]", id="half"),
    pytest.param("label_purchase", [np.nan], pa.float64(), r"0 or 1, got \[nan\]", id="binary nan"),
    pytest.param("label_spend", [-5], None, r"0 or above, got \[-5.0\]", id="negative value"),
    pytest.param("label_spend", [np.inf], pa.float64(), r"a finite number, .* got \[inf\]", id="infinite"),
    pytest.param("label_rating", [5], None, r"0 to 4, got \[5.0\]", id="level"),
    pytest.param("label_channel", [-1, 3], None, r"0 to 2, got \[-1.0, 3.0\]", id="class"),
    pytest.param("label_channel", [1.5], pa.float64(), r"0 to 2, got \[1.5\]", id="half a class"),
    pytest.param("label_minutes", [np.nan], None, r"a finite number, got \[nan\]", id="regression nan"),
    pytest.param("label_minutes", [1e39], None, r"a finite number, got \[1e\+39\]", id="beyond float32"),
    pytest.param("label_interest", [[0, 2, 1]], None, r"0 or 1, got \[2.0\]", id="multilabel"),
    pytest.param("label_interest", [[0, None, 1]], LIST, r"0 or 1, got \[nan\]", id="null inside"),
    pytest.param("label_interest", [[0, 1]], None, r"hold 3 values in each row, got", id="length"),
]
COLUMNS = [
    pytest.param("example_id", [None], None, r"in every row, got \[None\] in 1 of", id="no example_id"),
]


@pytest.mark.parametrize(("column", "values", "kind", "message"), [*LABELS, *COLUMNS])
def test_labels_that_a_head_cannot_learn_are_refused_before_the_first_step(
    make_spec: MakeSpec, column: str, values: list[Any], kind: Any, message: str
) -> None:
    spec = make_spec(num_rows=200, changes={"model": MODEL | {"tasks": OTHERS}}, epochs=1)
    spoil(spec.train_files[1], column, values, kind)

    with pytest.raises(ValueError, match=f"{spec.train_files[1]}: (label|column) {column} must .*{message}"):
        run_alone(spec)

    assert not list(spec.output_dir.parent.glob("model*"))  # nothing was trained


@pytest.mark.parametrize("part", ["validation_files", "calibration_files", "final_files"])
def test_files_that_are_read_after_the_epochs_are_looked_at_before_them(
    make_spec: MakeSpec, write_examples: Callable[..., list[Path]], part: str
) -> None:
    files = write_examples("others", 100, seed=3)
    spec = make_spec(num_rows=100, epochs=1).model_copy(update={part: tuple(files)})
    spoil(files[1], "label_purchase", [-1])

    with pytest.raises(ValueError, match=rf"{files[1]}: label label_purchase must be 0 or 1, got \[-1.0\]"):
        run_alone(spec)

    assert not list(spec.output_dir.parent.glob("model*"))


@pytest.mark.parametrize("rate", [0.0, -0.5, 1.5, None, np.nan])
def test_a_rate_that_cannot_weigh_a_row_is_refused_where_rows_are_weighed(
    make_spec: MakeSpec, rate: float | None
) -> None:
    spec = make_spec(num_rows=200, epochs=1)
    trained = make_spec("other", num_rows=200, epochs=1)
    run_alone(trained)
    spoil(spec.validation_files[0], "sampling_rate", [rate])
    wanted = "column sampling_rate must be above 0 and at most 1 in every row, got"
    message = rf"{spec.validation_files[0]}: {wanted} \[{rate}\] in 1 of"

    with pytest.raises(ValueError, match=message):
        run_alone(spec)
    with pytest.raises(ValueError, match=message):
        evaluate(trained.output_dir, spec.validation_files)


TYPES = [
    ("price", ["12 EUR"] * 3, "field of kind numeric price must be a number, got values such as '12 EUR'"),
    (
        "item_id",
        [1.5, None, 2.0],
        "field of kind id item_id must be a text or a whole number, got .* 1.5, 2.0",
    ),
    ("user_id", [["u1"]] * 3, "field of kind id user_id must be a text or a whole number, got"),
    ("query", [0.5] * 3, "field of kind hashed_id query must be a text or a whole number, got"),
    ("words", ["a b"] * 3, "field of kind id_list words must be a list of texts or whole numbers, got"),
    ("words", [[0.5]] * 3, "field of kind id_list words must be a list of texts or whole numbers, got"),
    ("label_coupon", ["1", "0", None], "label label_coupon must be 0 or 1, got values such as '1', '0'"),
    ("label_interest", [1, 0, 1], "label label_interest must be lists of 3 values, 0 or 1, got"),
    ("example_id", [1.0, 2.0, 3.0], "column example_id must be a whole number in every row, got"),
]


@pytest.mark.parametrize("reader", ["arrow", "petastorm"])
@pytest.mark.parametrize(("column", "values", "message"), TYPES)
def test_a_column_of_another_type_is_refused_by_its_name(
    make_spec: MakeSpec, reader: str, column: str, values: list[Any], message: str
) -> None:
    fields = [*MODEL["fields"], {"kind": "hashed_id", "name": "query", "num_hash_rows": 30}]
    fields.append({"kind": "id_list", "name": "words", "max_length": 3, "num_hash_rows": 30})
    training = MODEL["training"] | {"reader": reader, "epochs": 1}
    spec = make_spec(num_rows=6, changes={"model": MODEL | {"fields": fields, "training": training}})
    path = spec.train_files[1]
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, pa.array(values)), path)

    with pytest.raises(ValueError, match=f"{path}: {message}"):
        run_alone(spec)


def test_a_file_without_a_column_is_named(make_spec: MakeSpec) -> None:
    spec = make_spec(num_rows=20)
    path = spec.validation_files[1]
    pq.write_table(pq.read_table(path).drop_columns(["sampling_rate"]), path)

    with pytest.raises(ValueError, match=rf"{path}: the rows lack columns .*\['sampling_rate'\]"):
        run_alone(spec)


def test_whole_numbers_booleans_and_columns_of_nulls_are_read(make_spec: MakeSpec) -> None:
    spec = make_spec(num_rows=10, epochs=1)
    spec = spec.model_copy(update={"train_files": spec.train_files[:1]})
    path = spec.train_files[0]
    table = pa.concat_tables([pq.read_table(path)] * 2)
    for column, values in {
        "item_id": pa.array(range(10)),
        "user_id": pa.array([None] * 10, pa.string()),
        "price": pa.array([True, False] * 5),
        "days_since": pa.nulls(10),
        "label_purchase": pa.array([True, None] * 5),
        "label_coupon": pa.nulls(10, pa.int32()),
        "label_interest": pa.nulls(10),
        "label_spend": pa.array([0.0, 2.5] * 5),
    }.items():
        table = table.set_column(table.schema.get_field_index(column), column, values)
    pq.write_table(table, path)

    run_alone(spec)

    assert spec.output_dir.is_dir()


def test_files_whose_types_do_not_go_together_are_named(make_spec: MakeSpec) -> None:
    spec = make_spec(num_rows=20)
    first, second = spec.train_files
    table = pq.read_table(second)
    for column, values in (("item_id", range(10)), ("price", range(10))):  # a price may be whole
        table = table.set_column(table.schema.get_field_index(column), column, pa.array(values))
    pq.write_table(table, second)

    with pytest.raises(
        ValueError, match=f"{second}: item_id is of type int64, but of type string in {first}"
    ):
        run_alone(spec)


HEADS = {
    "binary": {0.0, 1.0},
    "ordinal": {0.0, 1.0, 2.0},
    "zero_inflated_lognormal": {0.0, 0.25, 1.0, 2.0, 3.0, 1e30},
    "regression": {-1.0, 0.0, 0.25, 1.0, 2.0, 3.0, 1e30},
}
VALUES = st.sampled_from([None, -1.0, 0.0, 0.25, 1.0, 2.0, 3.0, 1e30, 1e39, float("nan"), float("inf")])
WHOLES = st.sampled_from([None, -1, 0, 1, 2, 3])


@pytest.mark.parametrize("head", HEADS)
@settings(deadline=None, max_examples=60)
@given(
    groups=st.lists(st.lists(VALUES, max_size=4), max_size=3)
    | st.lists(st.lists(WHOLES, max_size=4), max_size=3),
    statistics=st.booleans(),
)
def test_labels_are_refused_if_and_only_if_the_head_does_not_know_one(
    tmp_path_factory: pytest.TempPathFactory, head: Any, groups: list[list[Any]], statistics: bool
) -> None:
    """Also where statistics of the row groups say all, and where there are none."""
    classes = {"num_classes": 3} if head == "ordinal" else {}
    task = TaskConfig(name="task", head=head, label="y", loss_weight=1.0, **classes)
    values = [value for group in groups for value in group]
    whole = all(value is None or isinstance(value, int) for value in values)
    schema = pa.schema([("y", pa.int32() if whole else pa.float64())])
    path = tmp_path_factory.getbasetemp() / f"{head}.parquet"
    with pq.ParquetWriter(path, schema, write_statistics=statistics) as writer:
        for group in groups:
            writer.write_table(pa.table({"y": group}, schema))
    known = {value for value in values if value is not None} <= HEADS[head]

    if known:
        check_files([path], [label_rule(task, 1)])
    else:
        with pytest.raises(ValueError, match=f"{head}.parquet: label y must be "):
            check_files([path], [label_rule(task, 1)])


def test_several_processes_stop_with_one_message(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(num_rows=400, num_processes=2)
    spoil(spec.train_files[1], "label_purchase", [7])
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(spec.model_dump_json())

    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "mtl_model.training.train", "--spec", str(spec_file)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode != 0
    assert done.stderr.count("label label_purchase must be 0 or 1, got [7.0]") == 1
    assert str(spec.train_files[1]) in done.stderr
    assert not list(tmp_path.glob("model*"))
