"""deepctr-torch's training step: the loop of `BaseModel.fit` over batches that are in memory already.

`fit` draws single rows by a DataLoader; that is left out here, in favour of deepctr-torch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import MMOE, PLE

from benchmarks.workload import TASKS, Rows, Workload, make_batches

NUM_BATCHES = 16


@contextmanager
def prepare(workload: Workload, num_threads: int) -> Iterator[Callable[[int], None]]:
    torch.set_num_threads(num_threads)
    model = _build_model(workload)
    model.compile("adam", loss=["binary_crossentropy"] * len(TASKS))
    model.train()
    batches = cycle([_to_batch(batch) for batch in make_batches(workload, NUM_BATCHES, seed=0)])

    def take_steps(num_steps: int) -> None:
        for _ in range(num_steps):
            inputs, labels = next(batches)
            outputs = model(inputs)
            model.optim.zero_grad()
            losses = [
                loss(outputs[:, task], labels[:, task], reduction="sum")
                for task, loss in enumerate(model.loss_func)
            ]
            total = sum(losses) + model.get_regularization_loss() + model.aux_loss
            total.backward()
            model.optim.step()

    yield take_steps


def _build_model(workload: Workload) -> Any:
    columns: list[Any] = [
        SparseFeat(name, workload.ids_per_field, embedding_dim=workload.embedding_dim)
        for name in workload.id_fields
    ]
    columns += [DenseFeat(name, 1) for name in workload.number_fields]
    shape = {
        "expert_dnn_hidden_units": workload.hidden_dims,
        "gate_dnn_hidden_units": (),
        "tower_dnn_hidden_units": (workload.tower_dim,),
    }
    if workload.architecture == "mmoe":
        return MMOE(columns, num_experts=workload.num_experts, **shape)
    shared, own = workload.num_shared_experts, workload.num_task_experts
    return PLE(columns, shared_expert_num=shared, specific_expert_num=own, num_levels=2, **shape)


def _to_batch(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.cat([torch.from_numpy(rows.ids).float(), torch.from_numpy(rows.numbers)], dim=1)
    return inputs, torch.from_numpy(rows.labels)
