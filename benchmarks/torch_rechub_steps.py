"""torch-rechub's training step: `MTLTrainer.train_one_epoch` over batches that are in memory already."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import torch
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import AITM, MMOE, PLE
from torch_rechub.trainers import MTLTrainer

from benchmarks.workload import TASKS, Rows, Workload, make_batches

NUM_BATCHES = 16


@contextmanager
def prepare(workload: Workload, num_threads: int) -> Iterator[Callable[[int], None]]:
    torch.set_num_threads(num_threads)
    trainer = MTLTrainer(build_model(workload), task_types=["classification"] * len(TASKS))
    rows = make_batches(workload, NUM_BATCHES, seed=0)
    batches = cycle([_to_batch(workload, batch) for batch in rows])

    def take_steps(num_steps: int) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=workload.precision == "bf16"):
            trainer.train_one_epoch(list(islice(batches, num_steps)))

    yield take_steps


def build_model(workload: Workload) -> Any:
    features: list[Any] = [
        SparseFeature(name, vocab_size=workload.ids_per_field, embed_dim=workload.embedding_dim)
        for name in workload.id_fields
    ]
    features += [DenseFeature(name) for name in workload.number_fields]
    experts = {"dims": list(workload.hidden_dims)}
    towers = [{"dims": [workload.tower_dim]} for _ in TASKS]
    types = ["classification"] * len(TASKS)
    if workload.architecture == "mmoe":
        return MMOE(features, types, workload.num_experts, experts, towers)
    if workload.architecture == "ple":
        shared, own = workload.num_shared_experts, workload.num_task_experts
        return PLE(features, types, 2, own, shared, experts, towers)
    return AITM(features, len(TASKS), experts, towers)


def _to_batch(workload: Workload, rows: Rows) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    ids, numbers = torch.from_numpy(rows.ids), torch.from_numpy(rows.numbers)
    features = dict(zip(workload.id_fields, ids.T.contiguous(), strict=True))
    features |= dict(zip(workload.number_fields, numbers.T.contiguous(), strict=True))
    return features, torch.from_numpy(rows.labels)
