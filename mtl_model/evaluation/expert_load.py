"""How much of each expert each gate takes: the mean gate weight over rows, where the sharing has gates.

A gate that takes one expert only, or an expert that no gate takes, has collapsed.

Shapes: B = batch, T = tasks, E = experts, M = mixtures.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_model.data.encode import Batch
from mtl_model.layers.parallel_mlps import parallel_linear
from mtl_model.model import JointModel
from mtl_model.sharing import home, ple
from mtl_model.sharing.home import HoME
from mtl_model.sharing.mmoe import MMoE
from mtl_model.sharing.omoe import OMoE
from mtl_model.sharing.ple import PLE
from mtl_model.sharing.stem import STEM

Inputs = tuple[Any, ...]
SHARED = "shared"


class Gates(NamedTuple):
    """Of a module: each gate's experts by name, with their place among its weights.

    `weigh` maps the module and what it was called with to the weights (M, B, E).
    """

    module: nn.Module
    experts: Mapping[str, Mapping[str, int]]
    weigh: Callable[[Any, Inputs], Tensor]


def expert_loads(model: JointModel, batches: Iterable[Batch]) -> dict[str, dict[str, float]]:
    """Gate -> the mean weight of each expert that it mixes, by the expert's name; empty without gates."""
    sums: dict[str, Tensor] = {}
    num_rows = 0

    def add(gates: Gates) -> Callable[[nn.Module, Inputs], None]:
        def hook(module: nn.Module, inputs: Inputs) -> None:
            for name, weights in zip(gates.experts, gates.weigh(module, inputs).sum(dim=1), strict=True):
                sums[name] = sums.get(name, 0) + weights.double()

        return hook

    all_gates = _gates(model.sharing)
    hooks = [gates.module.register_forward_pre_hook(add(gates)) for gates in all_gates]
    model.eval()
    with torch.inference_mode():
        for batch in batches if hooks else ():
            model(batch.ids, batch.numbers)
            num_rows += batch.num_rows
    for handle in hooks:
        handle.remove()
    if not num_rows:
        return {}
    return {
        gate: {expert: float(sums[gate][place]) / num_rows for expert, place in experts.items()}
        for gates in all_gates
        for gate, experts in gates.experts.items()
    }


def _gates(sharing: nn.Module) -> list[Gates]:
    if isinstance(sharing, OMoE):
        return [Gates(sharing, {"all tasks": _places(["expert"] * sharing.gate.out_features)}, _omoe)]
    if isinstance(sharing, MMoE):
        num_experts = sharing.gates.out_features // len(sharing.tasks)
        experts = _places(["expert"] * num_experts)
        return [Gates(sharing, dict.fromkeys(sharing.tasks, experts), _mmoe)]
    if isinstance(sharing, STEM):
        owners = [task for task in sharing.tasks for _ in range(sharing.num_task_experts)]
        experts = _places([*owners, *[SHARED] * sharing.num_shared_experts])
        return [Gates(sharing, dict.fromkeys(sharing.tasks, experts), _stem)]
    if isinstance(sharing, PLE):
        levels: Iterable[tuple[int, Any]] = enumerate(sharing.levels, start=1)
        return [gates for number, level in levels for gates in _gates_of_level(sharing.tasks, number, level)]
    if isinstance(sharing, HoME):
        names = {reader: f"group {reader}" if reader else SHARED for reader in sharing.groups.readers}
        tasks = {task: str(task) for task in sharing.second.readers}
        return [
            Gates(level, {readers[reader]: _read(level, reader) for reader in readers}, _home)
            for level, readers in ((sharing.groups, names), (sharing.second, tasks))
        ]
    return []


def _gates_of_level(tasks: Sequence[str], number: int, level: ple.Level) -> list[Gates]:
    """Of PLE: the tasks' gates, over their own experts and the shared ones; the shared part's, over all."""
    shared = [SHARED] * level.num_shared_experts
    of_tasks = {
        f"{task}, level {number}": _places([task] * level.num_task_experts + shared) for task in tasks
    }
    gates = [Gates(level, of_tasks, _ple)]
    if level.shared_gate is not None:
        owners = [task for task in tasks for _ in range(level.num_task_experts)] + shared
        gates.append(Gates(level, {f"{SHARED}, level {number}": _places(owners)}, _ple_shared))
    return gates


def _places(owners: Sequence[str]) -> dict[str, int]:
    """Numbers each owner's experts from 1 on: `click 1`, `click 2`, `shared 1`."""
    counts: Counter[str] = Counter()
    places = {}
    for place, owner in enumerate(owners):
        counts[owner] += 1
        places[f"{owner} {counts[owner]}"] = place
    return places


def _read(level: home.Level, reader: str | None) -> dict[str, int]:
    """The experts of a level of HoME that a mixture may read."""
    is_read = level.is_read[level.readers.index(reader), 0]
    places = _places([owner or SHARED for owner in level.owners])
    return {expert: place for expert, place in places.items() if is_read[place]}


def _omoe(sharing: OMoE, inputs: Inputs) -> Tensor:
    return torch.softmax(sharing.gate(inputs[0]), dim=-1)[None]


def _mmoe(sharing: MMoE, inputs: Inputs) -> Tensor:
    return parallel_linear(sharing.gates, inputs[0], len(sharing.tasks)).softmax(dim=-1)


def _stem(sharing: STEM, inputs: Inputs) -> Tensor:
    own, shared = inputs[0][:-1], inputs[0][-1:]
    return parallel_linear(sharing.gates, own + shared, len(sharing.tasks)).softmax(dim=-1)


def _ple(level: ple.Level, inputs: Inputs) -> Tensor:
    gate_inputs = inputs[0] if inputs[0].dim() == 2 else inputs[0][:-1]
    return parallel_linear(level.task_gates, gate_inputs, level.num_tasks).softmax(dim=-1)


def _ple_shared(level: ple.Level, inputs: Inputs) -> Tensor:
    if level.shared_gate is None:
        raise ValueError("the last level of PLE has no shared gate")
    gate_inputs = inputs[0] if inputs[0].dim() == 2 else inputs[0][-1]
    return torch.softmax(level.shared_gate(gate_inputs), dim=-1)[None]


def _home(level: home.Level, inputs: Inputs) -> Tensor:
    """Of the mixtures, without their self-gates."""
    gates = parallel_linear(level.gates, inputs[1], level.num_mixtures)
    return gates.masked_fill(~level.is_read, -torch.inf).softmax(dim=-1)
