import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mtl_model import predict as predict_module
from mtl_model.config import DataSpec, TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies
from mtl_model.predict import Predictor
from tests.mtl_model.conftest import MODEL
from tests.mtl_model.sharing.build_sharing import SETTINGS

MakePredictor = Callable[[float], Predictor]


@pytest.fixture
def spec(make_spec: Callable[..., TrainSpec]) -> TrainSpec:
    return make_spec(num_rows=300)


@pytest.fixture
def rows(spec: TrainSpec) -> pa.Table:
    """Rows without labels, as they are when they are scored."""
    return pq.read_table(spec.validation_files[0], columns=list(spec.model.columns))


@pytest.fixture
def make_predictor(spec: TrainSpec) -> MakePredictor:
    def make(negative_sampling_rate: float) -> Predictor:
        values = {name: getattr(spec, name) for name in DataSpec.model_fields}
        data = DataSpec(**values | {"negative_sampling_rate": negative_sampling_rate})
        encoder = Encoder(spec.model, data, read_vocabularies(spec.vocabularies))
        return Predictor(build_model(spec.model, encoder), encoder, data)

    return make


def test_tasks_with_sampled_negatives_are_corrected(make_predictor: MakePredictor, rows: pa.Table) -> None:
    all_kept, tenth_kept = make_predictor(1.0).predict(rows), make_predictor(0.1).predict(rows)

    logits = torch.logit(torch.from_numpy(all_kept["purchase"]))
    corrected = torch.sigmoid(logits + math.log(0.1)).numpy()
    np.testing.assert_allclose(tenth_kept["purchase"], corrected, rtol=1e-5)
    assert (tenth_kept["spend"] < all_kept["spend"]).all()
    np.testing.assert_array_equal(tenth_kept["coupon"], all_kept["coupon"])
    np.testing.assert_array_equal(tenth_kept["interest"], all_kept["interest"])


def test_a_row_scores_the_same_alone_in_chunks_and_as_a_record_batch(
    make_predictor: MakePredictor, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = make_predictor(0.5)
    whole = predictor.predict(rows)

    alone = predictor.predict(rows.slice(7, 1))
    monkeypatch.setattr(predict_module, "CHUNK_ROWS", 64)
    chunked = predictor.predict(rows.combine_chunks().to_batches()[0])

    for task, predictions in whole.items():
        np.testing.assert_allclose(alone[task], predictions[7:8], rtol=1e-5)
        np.testing.assert_allclose(chunked[task], predictions, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mmoe", "esmm", "aitm"])
def test_a_funnel_is_corrected_through_its_first_task(make_spec: Callable[..., TrainSpec], kind: str) -> None:
    """Of 100 rows 10 are clicked, 4 bought; a tenth of the other 90 is kept: the model learns 10/19, 4/19."""
    sharing = SETTINGS[kind]
    click, buy = (
        {"name": name, "head": "binary", "label": f"label_{label}", "loss_weight": 1.0}
        for name, label in (("click", "click"), ("buy", "purchase"))
    )
    tasks = [click | {"negatives_sampled": True}, buy | {"depends_on": "click"}]
    model = MODEL | {"sharing": sharing, "tower_hidden_dims": [], "tasks": tasks}
    changes = {"model": model, "label_names": {}, "negative_sampling_rate": 0.1}
    spec = make_spec(num_rows=20, changes=changes)
    data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
    encoder = Encoder(spec.model, data, read_vocabularies(spec.vocabularies))
    predictor = Predictor(build_model(spec.model, encoder), encoder, data)
    for task, p in [("click", 10 / 19), ("buy", 4 / 10 if kind == "esmm" else 4 / 19)]:
        torch.nn.init.zeros_(predictor.model.head(task).linear.weight)
        torch.nn.init.constant_(predictor.model.head(task).linear.bias, math.log(p / (1 - p)))

    predictions = predictor.predict(pq.read_table(spec.validation_files[0]))

    assert list(predictions) == ["click", "buy", "buy|click"]
    for name, p in [("click", 0.1), ("buy", 0.04), ("buy|click", 0.4)]:
        np.testing.assert_allclose(predictions[name], np.full(10, p), rtol=1e-5)


def test_no_rows_give_no_predictions(make_predictor: MakePredictor, rows: pa.Table) -> None:
    predictions = make_predictor(0.5).predict(rows.slice(0, 0))

    assert {task: array.shape for task, array in predictions.items()} == {
        "purchase": (0,),
        "spend": (0,),
        "interest": (0, 3),
        "coupon": (0,),
    }


def test_values_never_seen_and_missing_values_score(make_predictor: MakePredictor) -> None:
    strange = pa.table(
        {
            "user_id": ["nobody", None],
            "item_id": pa.nulls(2, pa.string()),
            "days_since": [float("inf"), None],
            "price": [-1e30, float("nan")],
        }
    )

    for predictions in make_predictor(0.5).predict(strange).values():
        assert np.isfinite(predictions).all()
