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


EXPERTS = [f"expert {number}" for number in (1, 2, 3)]
OF_TASKS = [f"{task} {number}" for task in TASKS for number in (1, 2)]
SHARED = ["shared 1", "shared 2"]


@pytest.mark.parametrize(
    ("kind", "gates", "num_experts"),
    [
        pytest.param("omoe", {"all tasks": EXPERTS}, 3, id="omoe"),
        pytest.param("mmoe", dict.fromkeys(TASKS, EXPERTS), 3, id="mmoe"),
        pytest.param("stem", dict.fromkeys(TASKS, OF_TASKS + SHARED), 10, id="stem"),
        pytest.param(
            "ple",
            {f"{task}, level 1": [f"{task} 1", f"{task} 2", *SHARED] for task in TASKS}
            | {"shared, level 1": OF_TASKS + SHARED}
            | {f"{task}, level 2": [f"{task} 1", f"{task} 2", *SHARED] for task in TASKS},
            4,
            id="ple",
        ),
    ],
)
def test_a_gate_that_looks_at_nothing_but_its_bias_loads_experts_by_it(
    build: Any, kind: str, gates: dict[str, list[str]], num_experts: int
) -> None:
    model, batch = build(SETTINGS[kind])
    for name, weights in model.sharing.named_parameters():
        if "gate" in name:
            torch.nn.init.zeros_(weights)
        if "gate" in name and name.endswith("bias"):
            width = len(weights) if "shared_gate" in name else num_experts
            weights.data.view(-1, width)[:, 1] = 1.0  # the second expert of each gate

    loads = expert_loads(model, [batch, batch])

    assert {gate: list(experts) for gate, experts in loads.items()} == gates
    assert list(loads) == list(gates)
    for experts in loads.values():
        expected = np.exp(np.eye(len(experts))[1])
        np.testing.assert_allclose(list(experts.values()), expected / expected.sum(), rtol=1e-5)


def test_the_loads_of_a_gate_are_means_over_all_rows(build: Any) -> None:
    model, batch = build(SETTINGS["mmoe"])
    halves = [batch.take(slice(0, 7)), batch.take(slice(7, None))]
    inputs: list[torch.Tensor] = []
    model.sharing.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))

    loads = expert_loads(model, halves)

    gates = model.sharing.gates(torch.cat(inputs)).unflatten(1, (len(TASKS), -1)).softmax(-1)
    found = [list(experts.values()) for experts in loads.values()]
    np.testing.assert_allclose(found, gates.mean(dim=0).detach(), rtol=1e-4)


def test_home_loads_only_what_a_mixture_may_read(build: Any) -> None:
    model, batch = build(HOME)

    loads = expert_loads(model, [batch])

    assert list(loads) == ["group buying", "group other", "shared", *TASKS]
    for experts in loads.values():
        assert sum(experts.values()) == pytest.approx(1.0, abs=1e-5)
    shared = [f"shared {number}" for number in range(1, HOME["num_shared_experts"] + 1)]
    assert owners(loads["group buying"]) == {"buying", "shared"}
    assert owners(loads["shared"]) == {"buying", "other", "shared"}
    assert owners(loads[TASKS[0]]) == {TASKS[0], "buying", "shared"}
    assert set(shared) <= loads[TASKS[3]].keys()
    assert min(loads["shared"].values()) > 0.0


def owners(experts: dict[str, float]) -> set[str]:
    return {name.split()[0] for name in experts}


def test_a_sharing_without_gates_has_no_loads(build: Any) -> None:
    model, batch = build(SETTINGS["shared_bottom"])

    assert expert_loads(model, [batch]) == {}
