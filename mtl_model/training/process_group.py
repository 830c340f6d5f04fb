"""Who this process is among those that torchrun started; NCCL on GPUs, gloo on CPUs."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils import deterministic

from mtl_model.layers.sum_by_id import sum_by_id
from mtl_model.training.heap import keep_freed_memory

logger = logging.getLogger(__name__)


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
        """Gives every rank the mean of the ranks' gradients, as DDP does: a training outside DDP needs it.

        It leaves sparse ones to `average_row_gradients`.
        """
        if not dist.is_initialized():
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        gradients = [gradient for gradient in gradients if not gradient.is_sparse]
        sums = [dist.all_reduce(gradient, async_op=True) for gradient in gradients]
        for gradient, work in zip(gradients, sums, strict=True):
            work.wait()
            gradient /= self.world_size

    def average_row_gradients(self, tables: Iterable[nn.Parameter]) -> None:
        """Gives every rank the mean of the ranks' sparse gradients, each id once; leaves dense ones alone.

        DDP's all-reduce sends tables whole, and NCCL has none for sparse tensors: unique ids and their rows
        are gathered instead.
        """
        for table in tables:
            if table.grad is None or not table.grad.is_sparse:
                continue
            ids, rows = sum_by_id(table.grad._indices()[0], table.grad._values())
            if self.world_size > 1:
                ids, rows = sum_by_id(*self.gather_rows(ids, rows))
                rows /= self.world_size
            table.grad = torch.sparse_coo_tensor(
                ids[None], rows, table.shape, is_coalesced=True, check_invariants=False
            )

    def wrap_in_ddp(self, model: nn.Module, ignore: list[str]) -> nn.Module:
        """The model inside DDP, which averages all gradients but those of the parameters to ignore.

        They must be equal on all ranks from the start. Alone, the model as it is.
        """
        if self.world_size == 1:
            return model
        ddp = DistributedDataParallel
        ddp._set_params_and_buffers_to_ignore_for_model(model, ignore)  # type: ignore[no-untyped-call]
        return ddp(model, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def gather_rows(self, *columns: Tensor) -> list[Tensor]:
        """Of each tensor every rank's rows below each other, in rank order, on all ranks.

        A rank's tensors have as many rows as each other; another rank may have another number.
        """
        if self.world_size == 1:
            return list(columns)
        counts = torch.zeros(self.world_size, dtype=torch.int64, device=self.device)
        counts[self.rank] = len(columns[0])
        num_rows = self.all_reduce(counts).tolist()
        return [self._gather_padded(rows, num_rows) for rows in columns]

    def _gather_padded(self, rows: Tensor, num_rows: Sequence[int]) -> Tensor:
        longest = max(num_rows)
        padded = rows.new_empty(longest, *rows.shape[1:])  # what is added is cut off again
        padded[: len(rows)] = rows
        gathered = rows.new_empty(self.world_size * longest, *rows.shape[1:])
        dist.all_gather_into_tensor(gathered, padded)
        by_rank = torch.unflatten(gathered, 0, (self.world_size, longest))
        return torch.cat([by_rank[rank, :count] for rank, count in enumerate(num_rows)])

    def gather(self, item: Any) -> list[Any] | None:
        """Every rank's item in rank order, on rank 0; None elsewhere."""
        if not dist.is_initialized():
            return [item]
        items: list[Any] | None = [None] * self.world_size if self.is_main else None
        dist.gather_object(item, items)
        return items

    def check_on_main(self, check: Callable[[], None]) -> None:
        """Runs a check on rank 0; where it fails every rank stops, and rank 0 alone says why.

        Raises:
            ValueError: if the check does, and there is no other rank.
            SystemExit: if there are others.
        """
        error = None
        if self.is_main:
            try:
                check()
            except ValueError as found:
                error = found
                if self.world_size == 1:
                    raise
                logger.error("%s", found)  # before another rank leaves: torchrun then ends this one
        if self.all_reduce(torch.tensor([float(error is not None)], device=self.device)).item():
            raise SystemExit(1)

    def barrier(self) -> None:
        if dist.is_initialized():
            dist.barrier()


def gpu_of(local_rank: int, num_gpus: int) -> torch.device:
    """Each process of a node has a GPU of its own.

    Raises:
        ValueError: if there are more processes than GPUs.
    """
    if local_rank >= num_gpus:
        raise ValueError(
            f"torchrun started process {local_rank + 1} of this node, which has {num_gpus} GPUs: start it "
            f"with --nproc-per-node {num_gpus}; num_processes of the spec may stay, the batches are the same"
        )
    return torch.device("cuda", local_rank)


@contextmanager
def join_process_group() -> Iterator[ProcessGroup]:
    """Joins the group that torchrun describes in the environment; alone where there is none."""
    if torch.cuda.is_available():
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        backend, device = "nccl", gpu_of(local_rank, torch.cuda.device_count())
        torch.cuda.set_device(device)
    else:
        backend, device = "gloo", torch.device("cpu")
        torch.set_num_threads(1)  # one process per core; and sums in the same order on any machine
        pa.set_cpu_count(1)
        keep_freed_memory()
        torch.use_deterministic_algorithms(mode=True)
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # finds bugs, takes time
    if "RANK" not in os.environ:
        yield ProcessGroup(0, 1, device)
        return
    dist.init_process_group(backend)
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
