"""The labels are what an untrained model says of the rows: it goes by all fields that tell rows apart."""

from collections.abc import Callable
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_model.config import DataSpec, TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.evaluation.permutation_importance import (
    FieldImportance,
    field_columns,
    permutation_importance,
)
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies
from mtl_model.predict import Predictor
from tests.mtl_model.conftest import LIST_FIELDS, MODEL

MakePredictor = Callable[[], tuple[Predictor, pa.Table]]


@pytest.fixture
def make_predictor(make_spec: Callable[..., TrainSpec]) -> MakePredictor:
    """A model with the heads binary, multilabel and regression, and rows that it explains fully."""

    def make() -> tuple[Predictor, pa.Table]:
        tasks = [task for task in MODEL["tasks"] if task["name"] in {"purchase", "interest"}]
        minutes = {"name": "minutes", "head": "regression", "label": "label_minutes", "loss_weight": 1.0}
        fields = [*MODEL["fields"], *LIST_FIELDS]
        model = MODEL | {"fields": fields, "tasks": [*tasks, minutes]}
        vocabularies = make_spec(num_rows=2).vocabularies
        lists = {"departments": str(vocabularies["item_id"].with_name("departments.parquet"))}
        paths = {name: str(path) for name, path in vocabularies.items()} | lists
        spec = make_spec(num_rows=600, changes={"model": model, "vocabularies": paths})
        data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
        encoder = Encoder(spec.model, data, read_vocabularies(spec.vocabularies))
        predictor = Predictor(build_model(spec.model, encoder), encoder, data)
        rows = pa.concat_tables([pq.read_table(path) for path in spec.validation_files])
        return predictor, label_by_predictions(predictor, rows)

    return make


def label_by_predictions(predictor: Predictor, rows: pa.Table) -> pa.Table:
    predictions = predictor.predict(rows)
    median = np.median(predictions["purchase"])
    interest = (predictions["interest"] > np.median(predictions["interest"], axis=0)).astype(np.int8)
    labels = {
        "label_purchase": pa.array((predictions["purchase"] > median).astype(np.int32)),
        "label_interest": pa.array(list(interest), pa.list_(pa.int8())),
        "label_minutes": pa.array(predictions["minutes"].astype(np.float64)),
    }
    for name, column in labels.items():
        known = rows.column(name).combine_chunks().is_valid()
        place = rows.column_names.index(name)
        rows = rows.set_column(place, name, pa.compute.if_else(known, column, None))
    return rows


def test_what_tells_rows_apart_is_missed_and_what_is_constant_is_not(make_predictor: MakePredictor) -> None:
    predictor, rows = make_predictor()

    found = list(permutation_importance(predictor, rows, seed=3))

    kinds = {"purchase": "user_item", "interest": "user_day", "minutes": "user_campaign"}
    fields = predictor.columns
    assert [(row.task, row.field) for row in found] == [(task, field) for task in kinds for field in fields]
    for row in found:
        of_kind = pa.compute.equal(rows["example_kind"], kinds[row.task])
        assert row.num_rows == pa.compute.sum(of_kind).as_py()
        assert row.value == pytest.approx(0.0 if row.task == "minutes" else 1.0, abs=1e-6)
        is_null = row.field in {"item_id", "query"} and row.task != "purchase"
        assert (row.loss == 0) if is_null else (row.loss > 1e-6), row


def test_the_same_seed_deals_out_the_same(make_predictor: MakePredictor) -> None:
    predictor, rows = make_predictor()

    def losses(seed: int) -> list[FieldImportance]:
        return list(permutation_importance(predictor, rows, seed))

    assert losses(1) == losses(1) != losses(2)


def test_a_task_without_labels_or_with_one_class_is_left_out(make_predictor: MakePredictor) -> None:
    predictor, rows = make_predictor()
    of_campaigns = rows.filter(pa.compute.equal(rows["example_kind"], "user_campaign"))

    assert {row.task for row in permutation_importance(predictor, of_campaigns, 0)} == {"minutes"}
    sure = rows.filter(pa.compute.equal(rows["label_purchase"], 1))
    assert list(permutation_importance(predictor, sure, 0)) == []


def test_every_encoded_column_belongs_to_one_field(make_predictor: MakePredictor) -> None:
    encoder = make_predictor()[0].encoder

    columns = field_columns(encoder)

    of_ids, of_numbers = ([*chain(*parts)] for parts in zip(*columns.values(), strict=True))
    assert sorted(of_ids) == list(range(encoder.num_id_columns))
    assert sorted(of_numbers) == [0, 1]
    assert (len(columns["days_since"].ids), len(columns["price"].ids)) == (1, 0)
    assert len(columns["bought_before"].ids) == 4
