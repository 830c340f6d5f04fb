"""Who this process is among those that torchrun started; NCCL on GPUs, gloo on CPUs."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import torch
import torch.distributed as dist
from torch import Tensor, nn


class ProcessGroup(NamedTuple):
    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place."""
        if dist.is_initialized():
            dist.all_reduce(tensor)
        return tensor

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Gives every rank the mean of the ranks' gradients, as DDP does: a training outside DDP needs it."""
        if not dist.is_initialized():
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        sums = [dist.all_reduce(gradient, async_op=True) for gradient in gradients]
        for gradient, work in zip(gradients, sums, strict=True):
            work.wait()
            gradient /= self.world_size

    def gather(self, item: Any) -> list[Any] | None:
        """Every rank's item in rank order, on rank 0; None elsewhere."""
        if not dist.is_initialized():
            return [item]
        items: list[Any] | None = [None] * self.world_size if self.is_main else None
        dist.gather_object(item, items)
        return items

    def barrier(self) -> None:
        if dist.is_initialized():
            dist.barrier()


@contextmanager
def join_process_group() -> Iterator[ProcessGroup]:
    """Joins the group that torchrun describes in the environment; alone where there is none."""
    if torch.cuda.is_available():
        backend, device = "nccl", torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    else:
        backend, device = "gloo", torch.device("cpu")
        torch.set_num_threads(1)  # one process per core; and sums in the same order on any machine
        pa.set_cpu_count(1)
        torch.use_deterministic_algorithms(mode=True)
    if "RANK" not in os.environ:
        yield ProcessGroup(0, 1, device)
        return
    dist.init_process_group(backend)
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
