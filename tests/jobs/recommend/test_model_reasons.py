"""What the model says of each row on a shelf, with a small model of random weights on disk."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.config import ReasonsConfig
from jobs.recommend.model_reasons import add_model_reasons
from jobs.recommend.scoring import load_model
from mtl_model.config import DataSpec, ModelConfig, ModelDescription, NumericStatistics
from mtl_model.data.encode import Encoder
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies, write_manifest, write_model
from tests.jobs.day_database import day_database
from tests.mtl_model.conftest import MODEL

FIELDS = {"item_id", "days_since", "price", "missing_here"}
ITEMS = [f"i{item}" for item in range(40)]


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    fields = [
        {"kind": "id", "name": "item_id"},
        *({"kind": "numeric", "name": name} for name in ("days_since", "price", "missing_here")),
    ]
    parts = {"fields": fields, "sharing": {"name": "shared_bottom", "hidden_dims": [16]}}
    model = ModelConfig.model_validate(MODEL | parts)
    statistics = {field.name: NumericStatistics(mean=5.0, std=2.0) for field in model.numeric_fields}
    data = DataSpec(numeric_statistics=statistics, label_names={"interest": ("a",)}, negative_sampling_rate=1)
    vocabulary = tmp_path / "item_id.parquet"
    pq.write_table(pa.table({"value": ITEMS}), vocabulary)
    torch.manual_seed(2)
    encoder = Encoder(model, data, read_vocabularies({"item_id": vocabulary}))
    folder = tmp_path / "model"
    folder.mkdir()
    description = ModelDescription(model=model, data=data)
    write_model(folder, build_model(model, encoder), description, {"item_id": vocabulary})
    write_manifest(folder)
    return folder


def make_candidates() -> pa.Table:
    """Of two users, in the order of users and items."""
    chance = np.random.default_rng(3)
    numbers = {name: chance.uniform(0, 10, len(ITEMS) * 2) for name in ("days_since", "price")}
    users = np.repeat(["u1", "u2"], len(ITEMS))
    return pa.table({"user_id": users, "item_id": ITEMS * 2, **numbers})


SHELVES = pa.table(
    {"user_id": ["u1", "u1", "u2"], "item_id": ["i7", "i3", "i3"], "rank": pa.array([1, 2, 1], pa.int32())}
)


def test_the_reasons_of_a_row_on_a_shelf_add_up_to_its_score_above_that_of_the_mean_candidate(
    model_folder: Path,
) -> None:
    candidates, rules = make_candidates(), ReasonsConfig(task="purchase", per_row=9)

    explained = add_model_reasons(day_database(), SHELVES, candidates, model_folder, rules)

    assert explained.select(SHELVES.column_names).equals(SHELVES)
    reasons = explained["model_reasons"].to_pylist()
    assert all({field for field, _ in row} == FIELDS for row in reasons)
    scores = score(candidates, model_folder)
    on_shelf = scores[[7, 3, len(ITEMS) + 3]]
    sums = np.array([sum(value for _, value in row) for row in reasons])
    assert np.ptp(sums - on_shelf) < 0.1 * np.ptp(on_shelf)  # the mean candidate's score is the same for all


def test_as_many_reasons_as_asked_for_the_greatest_first_and_always_the_same(model_folder: Path) -> None:
    rules = ReasonsConfig(task="coupon", per_row=2)

    first, again = (
        add_model_reasons(day_database(), SHELVES, make_candidates(), model_folder, rules) for _ in range(2)
    )

    sizes = [[abs(value) for _, value in row] for row in first["model_reasons"].to_pylist()]
    assert [len(row) for row in sizes] == [2, 2, 2]
    assert all(row == sorted(row, reverse=True) for row in sizes)
    assert first.equals(again)


def test_no_shelves_have_no_reasons(model_folder: Path) -> None:
    rules = ReasonsConfig(task="coupon")

    explained = add_model_reasons(
        day_database(), SHELVES.slice(0, 0), make_candidates().slice(0, 0), model_folder, rules
    )

    assert explained["model_reasons"].to_pylist() == []
    assert explained.schema.field("model_reasons").type == pa.map_(pa.string(), pa.float64())


def score(candidates: pa.Table, model_folder: Path) -> npt.NDArray[np.float32]:
    """The logits of purchase."""
    predictor = load_model(str(model_folder))
    rows = candidates.append_column("missing_here", pa.nulls(candidates.num_rows, pa.float64()))
    with torch.no_grad():
        logits = predictor.model(*predictor.encoder.encode_features(rows))["purchase"]
    scores: npt.NDArray[np.float32] = logits[:, 0].numpy()
    return scores
