from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mtl_model.config import DataSpec, TrainSpec
from mtl_model.data.encode import Batch, Encoder
from mtl_model.evaluation.expert_load import expert_loads
from mtl_model.model import JointModel, build_model
from mtl_model.model_folder import read_vocabularies
from tests.mtl_model.conftest import MODEL
from tests.mtl_model.sharing.build_sharing import SETTINGS

TASKS = [task["name"] for task in MODEL["tasks"]]
HOME = SETTINGS["home"] | {"groups": {"buying": TASKS[:2], "other": TASKS[2:]}}


@pytest.fixture
def build(make_spec: Callable[..., TrainSpec]) -> Callable[[dict[str, Any]], tuple[JointModel, Batch]]:
    def build(sharing: dict[str, Any]) -> tuple[JointModel, Batch]:
        spec = make_spec(num_rows=60, changes={"model": MODEL | {"sharing": sharing}})
        data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
        encoder = Encoder(spec.model, data, read_vocabularies(spec.vocabularies))
        return build_model(spec.model, encoder), encoder.encode(pq.read_table(spec.train_files[0]))

    return build


@pytest.mark.parametrize(
    ("kind", "gates", "num_experts"),
    [
        pytest.param("omoe", ["all tasks"], 3, id="omoe"),
        pytest.param("mmoe", TASKS, 3, id="mmoe"),
        pytest.param("stem", TASKS, 2 + 2 * len(TASKS), id="stem"),
        pytest.param("ple", [f"{task}, level {row}" for row in (1, 2) for task in TASKS], 4, id="ple"),
    ],
)
def test_a_gate_that_looks_at_nothing_but_its_bias_loads_experts_by_it(
    build: Any, kind: str, gates: list[str], num_experts: int
) -> None:
    model, batch = build(SETTINGS[kind])
    for name, weights in model.sharing.named_parameters():
        if "gate" in name:
            torch.nn.init.zeros_(weights)
        if "gate" in name and name.endswith("bias") and "shared_gate" not in name:
            weights.data.view(-1, num_experts)[:, 0] = 1.0  # the first expert of each gate

    loads = expert_loads(model, [batch, batch])

    expected = np.exp(np.eye(num_experts)[0])
    assert list(loads) == gates
    for weights in loads.values():
        np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-5)


def test_the_loads_of_a_gate_are_means_over_all_rows(build: Any) -> None:
    model, batch = build(SETTINGS["mmoe"])
    halves = [batch.take(slice(0, 7)), batch.take(slice(7, None))]
    inputs: list[torch.Tensor] = []
    model.sharing.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))

    loads = expert_loads(model, halves)

    gates = model.sharing.gates(torch.cat(inputs)).unflatten(1, (len(TASKS), -1)).softmax(-1)
    np.testing.assert_allclose(list(loads.values()), gates.mean(dim=0).detach(), rtol=1e-4)


def test_home_loads_only_what_a_mixture_may_read(build: Any) -> None:
    model, batch = build(HOME)

    loads = expert_loads(model, [batch])

    assert list(loads) == ["group 1", "group 2", "shared", *TASKS]
    for weights in loads.values():
        assert sum(weights) == pytest.approx(1.0, abs=1e-5)
    assert loads["group 1"][1] == 0.0  # the expert of the other group
    assert min(loads["shared"]) > 0.0


def test_a_sharing_without_gates_has_no_loads(build: Any) -> None:
    model, batch = build(SETTINGS["shared_bottom"])

    assert expert_loads(model, [batch]) == {}
