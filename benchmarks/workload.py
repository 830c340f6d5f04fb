"""What all contestants train: the same network on the same rows, which need no reading.

Shapes: B = rows, S = id fields, N = numbers, T = tasks.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

TASKS = ("click", "purchase")
MORE_TASKS = ("cart", "share")  # to weigh against each other


class Workload(NamedTuple):
    """`num_ids` are those of all fields together."""

    architecture: str  # mmoe, ple or aitm
    num_ids: int
    batch_size: int
    num_id_fields: int = 26
    num_numbers: int = 13
    embedding_dim: int = 16
    num_experts: int = 8  # of ple: a quarter shared, the rest shared out to the tasks
    hidden_dims: tuple[int, ...] = (256, 128)
    tower_dim: int = 64
    num_tasks: int = 2
    precision: str = "fp32"
    balancing: str = "fixed"

    @property
    def tasks(self) -> tuple[str, ...]:
        return (TASKS + MORE_TASKS)[: self.num_tasks]

    @property
    def ids_per_field(self) -> int:
        return self.num_ids // self.num_id_fields

    @property
    def num_shared_experts(self) -> int:
        return self.num_experts // 4

    @property
    def num_task_experts(self) -> int:
        return (self.num_experts - self.num_shared_experts) // len(TASKS)

    @property
    def id_fields(self) -> list[str]:
        return [f"id_{field}" for field in range(self.num_id_fields)]

    @property
    def number_fields(self) -> list[str]:
        return [f"number_{field}" for field in range(self.num_numbers)]


class Rows(NamedTuple):
    """ids (B, S), of each field from 0; numbers (B, N); labels (B, T): no purchase without a click."""

    ids: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]


def make_batches(workload: Workload, num_batches: int, seed: int) -> list[Rows]:
    rng = np.random.default_rng(seed)
    return [_make_rows(workload, rng) for _ in range(num_batches)]


def _make_rows(workload: Workload, rng: Any) -> Rows:
    """Ids by Zipf's law, p(id) ~ 1 / id, scattered over the table."""
    shape = (workload.batch_size, workload.num_id_fields)
    ranks = np.exp(rng.random(shape) * np.log(workload.ids_per_field)).astype(np.int64)
    ids = ranks * 2_654_435_761 % workload.ids_per_field
    numbers = rng.standard_normal((workload.batch_size, workload.num_numbers)).astype(np.float32)
    clicked = rng.random(workload.batch_size) < 1 / (1 + np.exp(1.0 - numbers[:, 0] - (ids[:, 0] % 2)))
    purchased = clicked & (rng.random(workload.batch_size) < 0.3)
    labels = [clicked, purchased]
    labels += [
        rng.random(workload.batch_size) < 1 / (1 + np.exp(2.0 - numbers[:, number]))
        for number in range(len(TASKS), workload.num_tasks)
    ]
    return Rows(ids, numbers, np.stack(labels, axis=1).astype(np.float32))
