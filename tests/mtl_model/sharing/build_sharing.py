"""Every way of sharing, small, and the plain MLPs that parallel ones stand for.

In double precision: LayerNorm blows up what single precision rounds off where few units are active.
"""

from typing import Any

import torch
from torch import nn

from mtl_model.layers.mlp import MLP
from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.model import SHARING

INPUT_DIM, OUTPUT_DIM = 6, 4
TASKS = ("click", "cart", "buy")
PARENTS = {"cart": "click", "buy": "cart"}

BOTTOM: dict[str, Any] = {"hidden_dims": [8, OUTPUT_DIM]}
EXPERTS: dict[str, Any] = {"expert_hidden_dims": [8, OUTPUT_DIM]}
PLE: dict[str, Any] = EXPERTS | {"num_shared_experts": 2, "num_task_experts": 2}
ESCM2: dict[str, Any] = BOTTOM | {"counterfactual_weight": 0.5, "min_propensity": 0.05}
SETTINGS: dict[str, dict[str, Any]] = {
    "single_task": {"name": "single_task"} | BOTTOM,
    "shared_bottom": {"name": "shared_bottom"} | BOTTOM,
    "l2_tied": {"name": "l2_tied", "tie_weight": 0.1} | BOTTOM,
    "cross_stitch": {"name": "cross_stitch"} | BOTTOM,
    "task_embedding": {"name": "task_embedding", "task_embedding_dim": 3} | BOTTOM,
    "task_relationship": {"name": "task_relationship", "relationship_weight": 0.1} | BOTTOM,
    "omoe": {"name": "omoe", "num_experts": 3} | EXPERTS,
    "mmoe": {"name": "mmoe", "num_experts": 3} | EXPERTS,
    "cgc": {"name": "ple", "num_levels": 1} | PLE,
    "ple": {"name": "ple", "num_levels": 2} | PLE,
    "stem": {"name": "stem", "task_fields": ["user_id"], "num_shared_experts": 2, "num_task_experts": 2}
    | EXPERTS,
    "esmm": {"name": "esmm"} | BOTTOM,
    "escm2_ipw": {"name": "escm2", "estimator": "ipw"} | ESCM2,
    "escm2_dr": {"name": "escm2", "estimator": "dr"} | ESCM2,
    "aitm": {"name": "aitm", "calibrator_weight": 0.5} | BOTTOM,
    "resflow": {"name": "resflow"} | BOTTOM,
}
HOME: dict[str, Any] = EXPERTS | {"name": "home", "num_shared_experts": 2, "feature_gate_rank": 3}
SETTINGS["home"] = HOME | {
    "groups": {"browsing": ["click", "cart"], "paying": ["buy"]},
    "num_group_experts": 1,
    "num_task_experts": 2,
}
FUNNELS = ("esmm", "escm2_ipw", "escm2_dr", "aitm", "resflow")


def build_sharing(kind: str, **changes: Any) -> Any:
    """The same weights at every call; each class has parts of its own, hence no narrower type."""
    torch.manual_seed(0)
    settings = SETTINGS[kind] | changes
    name = settings.pop("name")
    settings.pop("task_fields", None)
    if kind in FUNNELS:
        settings.setdefault("parents", PARENTS)
    return SHARING[name](**{"input_dim": INPUT_DIM, "tasks": TASKS, "dropout": 0.0} | settings).double()


def make_inputs(kind: str, num_rows: int) -> torch.Tensor:
    copies = {"single_task": [len(TASKS)], "stem": [len(TASKS) + 1]}.get(kind, [])
    return torch.randn(*copies, num_rows, INPUT_DIM, dtype=torch.float64)


def plain_mlp(parallel: ParallelMLPs, index: int) -> MLP:
    """The MLP number `index`, on its own."""
    dims = [parallel.first.out_features // parallel.num_mlps, *(bias.shape[2] for bias in parallel.biases)]
    mlp = MLP(parallel.first.in_features, dims, dropout=0.0).double()
    linears = [layer for layer in mlp.layers if isinstance(layer, nn.Linear)]
    linears[0].weight.data = parallel.first.weight.data.chunk(parallel.num_mlps)[index]
    linears[0].bias.data = parallel.first.bias.data.chunk(parallel.num_mlps)[index]
    for linear, weight, bias in zip(linears[1:], parallel.weights, parallel.biases, strict=True):
        linear.weight.data, linear.bias.data = weight.data[index].T, bias.data[index, 0]
    return mlp
