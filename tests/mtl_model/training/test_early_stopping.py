import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from mtl_model.config import TrainSpec
from mtl_model.evaluation.evaluate import evaluate
from mtl_model.evaluation.task_metrics import TASK_METRICS
from mtl_model.training.config import STOPPING_METRICS, EarlyStoppingConfig, StoppingMetric
from mtl_model.training.early_stopping import EarlyStopping
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train
from tests.mtl_model.conftest import damage

MakeSpec = Callable[..., TrainSpec]
STOPPING: dict[str, Any] = {"task": "purchase", "metric": "auc", "patience": 1}


def run_alone(spec: TrainSpec) -> None:
    with join_process_group() as group:
        train(spec, group)


@pytest.mark.parametrize(
    ("metric", "values", "over_after", "best"),
    [
        pytest.param("auc", [0.6, 0.7, 0.69, 0.7], 3, 1, id="no better than the best twice"),
        pytest.param("auc", [0.6, 0.5, 0.7, 0.6], None, 2, id="a gain begins the count anew"),
        pytest.param("log_loss", [0.6, 0.7, 0.8], 2, 0, id="less is better"),
    ],
)
def test_it_is_over_once_patience_is_at_an_end(
    metric: Any, values: list[float], over_after: int | None, best: int
) -> None:
    stopping = EarlyStopping(EarlyStoppingConfig(task="purchase", metric=metric, patience=2))
    model = nn.Linear(1, 1, bias=False)

    over = []
    for epoch, value in enumerate(values):
        model.weight.data.fill_(epoch)
        stopping.observe(value, model)
        over.append(stopping.is_over)
    stopping.restore_best(model)

    assert (over.index(True) if any(over) else None) == over_after
    assert model.weight.item() == stopping.best_epoch == best


def test_the_best_weights_are_judged_and_are_where_the_final_pass_begins(make_spec: MakeSpec) -> None:
    files = [str(path) for path in make_spec().validation_files]
    settings = {"epochs": 12, "learning_rate": 0.05, "early_stopping": STOPPING}
    stopped = make_spec("stopped", num_rows=1500, changes={"final_files": files}, **settings)

    run_alone(stopped)

    told = json.loads((stopped.output_dir / "early_stopping.json").read_bytes())
    values, best = told["values"], told["best_epoch"]
    assert values[best] == max(values)
    assert len(values) == best + 2 < 12  # it learns by heart
    metrics = json.loads((stopped.output_dir / "metrics.json").read_bytes())
    assert metrics["purchase"]["auc"] == values[best]
    history = [json.loads(line) for line in (stopped.output_dir / "history.jsonl").read_text().splitlines()]
    assert sorted({line["epoch"] for line in history}) == [*range(best + 2), 12]
    assert all(0 <= line["data_wait_share"] <= 1 for line in history)
    served = evaluate(stopped.output_dir, stopped.validation_files)
    assert served["purchase"]["auc"] != values[best]  # once more over these very rows


def test_a_broken_off_training_stops_where_an_unbroken_one_does(make_spec: MakeSpec, tmp_path: Path) -> None:
    final = tmp_path / "final.parquet"
    settings = {"epochs": 12, "learning_rate": 0.05, "early_stopping": STOPPING, "checkpoint_every_steps": 4}
    changes = {"final_files": [str(final)]}
    whole, broken = (make_spec(name, 1500, changes=changes, **settings) for name in ("whole", "broken"))
    table = pq.read_table(whole.train_files[0])
    pq.write_table(table, final)
    run_alone(whole)

    damage(final)
    with pytest.raises(OSError, match="page header"):
        run_alone(broken)
    pq.write_table(table, final)
    run_alone(broken)

    first, second = (load_file(spec.output_dir / "model.safetensors") for spec in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_task_that_is_not_there_is_refused(make_spec: MakeSpec) -> None:
    with pytest.raises(ValidationError, match="early_stopping judges by 'cart', which is none of the tasks"):
        make_spec(early_stopping=STOPPING | {"task": "cart"})


def test_a_metric_that_the_tasks_head_does_not_have_is_refused(make_spec: MakeSpec) -> None:
    message = (
        "task purchase by normalised_gini, which its head, binary, does not have: choose one of "
        r"\['auc', 'gauc', 'pr_auc', 'log_loss'\]"
    )

    with pytest.raises(ValidationError, match=message):
        make_spec(early_stopping=STOPPING | {"metric": "normalised_gini"})


@pytest.mark.parametrize("head", TASK_METRICS)
def test_a_head_may_be_judged_by_each_metric_that_is_measured_of_it(head: str) -> None:
    labels, ones = np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4)
    predictions = np.array([0.2, 0.7, 0.6, 0.4])
    if head == "multilabel":
        labels, predictions = labels[:, None], predictions[:, None]
    if head == "multiclass":
        predictions = np.stack([1 - predictions, predictions], axis=1)

    measured = TASK_METRICS[head](labels, predictions, ones, np.zeros(4, dtype=np.int64), ["one label"])

    numbers = {name for name, value in measured.items() if isinstance(value, float)}
    assert set(STOPPING_METRICS[head]) == numbers & set(get_args(StoppingMetric))


def test_a_metric_that_is_not_defined_is_an_error(make_spec: MakeSpec) -> None:
    spec = make_spec(num_rows=300, early_stopping=STOPPING)
    for path in spec.validation_files:
        table = pq.read_table(path)
        position = table.column_names.index("label_purchase")
        pq.write_table(table.set_column(position, "label_purchase", pa.array([0] * len(table))), path)

    with pytest.raises(ValueError, match="auc of task purchase is not defined"):
        run_alone(spec)
