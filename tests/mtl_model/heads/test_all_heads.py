"""Tasks with every head in one model: from the examples to the metrics."""

from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtl_model.config import TrainSpec
from mtl_model.evaluation.evaluate import judge_tables, measure
from mtl_model.predict import load_predictor
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train
from tests.mtl_model.conftest import MODEL

TASKS = [
    {"name": "rating", "head": "ordinal", "label": "label_rating", "loss_weight": 1.0, "num_classes": 5},
    {"name": "channel", "head": "multiclass", "label": "label_channel", "loss_weight": 1.0, "num_classes": 3},
    {"name": "minutes", "head": "regression", "label": "label_minutes", "loss_weight": 0.1},
]


@pytest.fixture
def spec(make_spec: Callable[..., TrainSpec]) -> TrainSpec:
    model = MODEL | {"tasks": [*MODEL["tasks"], *TASKS], "training": MODEL["training"] | {"epochs": 20}}
    return make_spec(num_rows=4000, changes={"model": model})


def test_every_head_learns_and_is_judged_against_a_constant(spec: TrainSpec) -> None:
    with join_process_group() as group:
        train(spec, group)
    predictor = load_predictor(spec.output_dir)
    table = pq.read_table(spec.validation_files[0])

    predictions = predictor.predict(table)
    metrics = measure(predictor, [judge_tables(predictor, [table])])

    assert predictions["rating"].shape == predictions["minutes"].shape == (len(table),)
    assert predictions["channel"].shape == (len(table), 3)
    np.testing.assert_allclose(predictions["channel"].sum(axis=1), 1.0, rtol=1e-5)
    for task, metric in [
        ("rating", "mean_absolute_error"),
        ("minutes", "root_mean_squared_error"),
        ("channel", "log_loss"),
    ]:
        assert metrics[task][metric] < 0.7 * metrics[task]["constant"][metric], (task, metrics[task])  # type: ignore[literal-required] # of a list
    assert metrics["channel"]["accuracy"] > 0.8
