"""Rows of the same id summed, in the order in which they stand: the gradient of an embedding table.

A sort of ids with their positions in one integer each, then one pass over the rows: faster than torch.unique
with index_add_, or than torch's own dense gradient, and equal to both bit for bit.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def sum_by_id(ids: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Maps N ids with repetitions and their rows (N, W) to the unique ids, in order, and the rows' sums."""
    if ids.device.type != "cpu":
        unique_ids, positions = torch.unique(ids, return_inverse=True)
        sums = torch.zeros(len(unique_ids), rows.shape[1], dtype=rows.dtype, device=rows.device)
        return unique_ids, sums.index_add_(0, positions, rows)
    bits = len(ids).bit_length()
    ordered = torch.from_numpy(np.sort(ids.numpy() << bits | np.arange(len(ids))))
    sorted_ids, order = ordered >> bits, ordered & (1 << bits) - 1
    starts = torch.diff(sorted_ids, prepend=sorted_ids.new_tensor([-1])).nonzero()[:, 0]
    return sorted_ids[starts], F.embedding_bag(order, rows, starts, mode="sum")


class DenseLookup(torch.autograd.Function):
    """F.embedding whose gradient, of the whole table, is made by `sum_by_id`."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape = table.shape
        return F.embedding(ids, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (ids,) = ctx.saved_tensors
        unique_ids, sums = sum_by_id(ids.flatten(), gradients[0].flatten(end_dim=-2))
        return None, sums.new_zeros(ctx.shape).index_copy_(0, unique_ids, sums)


def look_up(ids: Tensor, table: Tensor, sparse_gradient: bool) -> Tensor:
    """The table's rows (..., W) of ids (...)."""
    if sparse_gradient or table.device.type != "cpu":
        return F.embedding(ids, table, sparse=sparse_gradient)
    rows: Tensor = DenseLookup.apply(ids, table)  # type: ignore[no-untyped-call]
    return rows
