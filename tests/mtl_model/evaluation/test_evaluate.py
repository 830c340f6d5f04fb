import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from mtl_model.config import DataSpec, TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.evaluation.evaluate import judge_files, judge_tables, measure
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies
from mtl_model.predict import Predictor
from tests.mtl_model.conftest import MODEL

SLICES = [
    {"name": "cheap", "column": "price", "at_most": 4.0},
    {"name": "dear", "column": "price", "at_least": 4.5, "at_most": 8.0},
    {"name": "none", "column": "price", "at_least": 100.0},
]


@pytest.fixture
def spec(make_spec: Callable[..., TrainSpec]) -> TrainSpec:
    return make_spec(num_rows=700, changes={"model": MODEL | {"slices": SLICES}})


@pytest.fixture
def predictor(spec: TrainSpec) -> Predictor:
    return predictor_of(spec)


def predictor_of(spec: TrainSpec) -> Predictor:
    data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
    encoder = Encoder(spec.model, data, read_vocabularies(spec.vocabularies))
    return Predictor(build_model(spec.model, encoder), encoder, data)


def rounded(metrics: object) -> object:
    return json.loads(json.dumps(metrics), parse_float=lambda text: round(float(text), 6))


def test_uneven_ranks_give_the_metrics_of_one(spec: TrainSpec, predictor: Predictor) -> None:
    alone = measure(predictor, [judge_files(predictor, spec.validation_files, 0, 1)])

    shares = [judge_files(predictor, spec.validation_files, rank, 7) for rank in range(7)]

    assert {} in shares  # six row groups: the last rank has nothing
    assert rounded(measure(predictor, shares)) == rounded(alone)


def test_labelled_rows_count_each_by_its_sampling_rate(spec: TrainSpec, predictor: Predictor) -> None:
    table = pq.read_table(spec.validation_files[0])
    labelled = table.column("label_purchase").drop_null().to_numpy()
    bought, not_bought = labelled.sum(), (1 - labelled).sum()

    metrics = measure(predictor, [judge_tables(predictor, [table])])

    assert metrics["purchase"]["rows"] == len(labelled)
    assert metrics["purchase"]["mean_label"] == pytest.approx(bought / (bought + 2 * not_bought))
    assert [label["name"] for label in metrics["interest"]["per_label"]] == ["grocery", "produce", "drug"]
    constant = metrics["purchase"]["constant"]
    assert metrics["purchase"]["normalised_entropy"] == pytest.approx(
        metrics["purchase"]["log_loss"] / constant["log_loss"]
    )


def test_a_task_without_a_labelled_row_is_said_to_have_none(spec: TrainSpec, predictor: Predictor) -> None:
    table = pq.read_table(spec.validation_files[0])
    coupons = table.filter(table.column("label_coupon").is_valid())

    metrics = measure(predictor, [judge_tables(predictor, [coupons])])

    assert metrics["purchase"] == {"rows": 0}
    assert metrics["coupon"]["rows"] == coupons.num_rows


def test_no_files_give_no_metrics(predictor: Predictor) -> None:
    no_files: list[Path] = []

    metrics = measure(predictor, [judge_files(predictor, no_files, 0, 1)])

    assert metrics == {task.name: {"rows": 0} for task in predictor.tasks}


def test_a_slice_has_the_metrics_of_its_rows_alone(spec: TrainSpec, predictor: Predictor) -> None:
    table = pq.read_table(spec.validation_files[0])
    price = table.column("price").to_numpy()  # nan where it is null
    inside = {"cheap": price <= 4.0, "dear": (price >= 4.5) & (price <= 8.0)}

    slices = measure(predictor, [judge_tables(predictor, [table])])["purchase"]["slices"]

    assert slices.pop("none") == {"rows": 0}
    for name, rows in inside.items():
        alone = measure(predictor, [judge_tables(predictor, [table.filter(pa.array(rows))])])["purchase"]
        alone.pop("slices")
        assert rounded(slices[name]) == rounded(alone)


def test_a_task_that_depends_on_another_is_also_judged_where_that_one_happened(
    make_spec: Callable[..., TrainSpec],
) -> None:
    click = {"name": "click", "head": "binary", "label": "label_click", "loss_weight": 1.0}
    buy = {"name": "buy", "head": "binary", "label": "label_purchase", "loss_weight": 1.0}
    tasks = [click | {"negatives_sampled": True}, buy | {"depends_on": "click"}]
    spec = make_spec(num_rows=700, changes={"model": MODEL | {"tasks": tasks}, "label_names": {}})
    predictor = predictor_of(spec)
    table = pq.read_table(spec.validation_files[0])
    clicked = table.filter(pc.equal(table["label_click"], 1))

    metrics = measure(predictor, [judge_tables(predictor, [table])])

    given_click = predictor.predict(clicked)["buy|click"]
    bought, weights = clicked["label_purchase"].to_numpy(), 1 / clicked["sampling_rate"].to_numpy()
    assert metrics["buy|click"]["rows"] == clicked.num_rows
    assert metrics["buy|click"]["auc"] == pytest.approx(
        roc_auc_score(bought, given_click, sample_weight=weights)
    )
    assert metrics["buy"]["rows"] > clicked.num_rows
