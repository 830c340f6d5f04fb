from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional as F

from mtl_model.config import DataSpec, TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.evaluation.gradient_cosines import gradient_cosines
from mtl_model.model import JointModel, build_model
from mtl_model.model_folder import read_vocabularies
from tests.mtl_model.conftest import MODEL
from tests.mtl_model.sharing.build_sharing import SETTINGS


@pytest.fixture
def spec(make_spec: Callable[..., TrainSpec]) -> TrainSpec:
    """Two binary tasks of every user_item row, and one of the user_campaign rows."""
    tasks = [
        {"name": name, "head": "binary", "label": f"label_{name}", "loss_weight": weight}
        for name, weight in (("click", 1.0), ("cart", 0.5), ("coupon", 1.0))
    ]
    changes = {"model": MODEL | {"sharing": SETTINGS["shared_bottom"], "tasks": tasks}, "label_names": {}}
    return make_spec(num_rows=200, changes=changes)


def build(spec: TrainSpec) -> tuple[JointModel, Encoder]:
    data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
    encoder = Encoder(spec.model, data, read_vocabularies(spec.vocabularies))
    return build_model(spec.model, encoder), encoder


def test_cosines_are_those_of_gradients_worked_out_one_by_one(spec: TrainSpec) -> None:
    model, encoder = build(spec)
    batch = encoder.encode(pq.read_table(spec.train_files[0]))
    kept: list[torch.Tensor] = []
    model.sharing.get_submodule("bottom").register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )

    cosines = gradient_cosines(model, spec.model, encoder, [batch])

    logits = model(batch.ids, batch.numbers)
    gradients = []
    for position, task in enumerate(spec.model.tasks):
        rows = F.binary_cross_entropy_with_logits(
            logits[task.name][:, 0], batch.labels[:, position], reduction="none"
        )
        loss = (rows * batch.masks[:, position]).sum()
        gradients.append(torch.autograd.grad(loss, kept[-1], retain_graph=True)[0].flatten())
    expected = F.cosine_similarity(gradients[0], gradients[1], dim=0).item()
    assert cosines[0, 1] == pytest.approx(expected, abs=1e-5)
    assert cosines[0, 2] == pytest.approx(0.0)  # no row has both labels
    np.testing.assert_allclose(np.diag(cosines), 1.0)
    np.testing.assert_allclose(cosines, cosines.T)


def test_a_task_and_itself_turned_round_pull_apart(spec: TrainSpec) -> None:
    model, encoder = build(spec)
    batch = encoder.encode(pq.read_table(spec.train_files[0]))
    batch.labels[:, 1] = 1 - batch.labels[:, 0]
    batch.masks[:, 1] = batch.masks[:, 0]
    for part in (model.towers, model.heads):  # the same tower and head for both
        part["cart"].load_state_dict(part["click"].state_dict())

    halves = [batch.take(slice(0, 50)), batch.take(slice(50, 100))]
    cosines = gradient_cosines(model, spec.model, encoder, halves)

    assert cosines[0, 1] < -0.5


def test_a_task_without_a_labelled_row_has_no_cosine(spec: TrainSpec) -> None:
    model, encoder = build(spec)
    batch = encoder.encode(pq.read_table(spec.train_files[0]))
    batch.masks[:, 2] = 0

    cosines = gradient_cosines(model, spec.model, encoder, [batch])

    assert np.isnan(cosines[2]).all()
    assert np.isfinite(cosines[:2, :2]).all()
