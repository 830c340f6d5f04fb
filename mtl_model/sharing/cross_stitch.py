"""Soft sharing: cross-stitch units (Misra et al., CVPR 2016, arxiv.org/abs/1604.03539).

After each layer of the tasks' bottoms, h_t = sum_s a_ts h_s with learned scalars a, one matrix per layer.

Shapes: B = batch, I = input dim, H = output dim, T = tasks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing

OTHERS_SHARE = 0.1  # of a task's first mixture, all other tasks together


class CrossStitch(Sharing):
    """One bottom per task; each of its layers reads a mixture of all tasks' layers before."""

    def __init__(
        self, input_dim: int, hidden_dims: Sequence[int], tasks: Sequence[str], dropout: float
    ) -> None:
        super().__init__()
        dims = [input_dim, *hidden_dims]
        self.layers = nn.ModuleList(
            ParallelMLPs(inputs, len(tasks), [outputs], dropout)
            for inputs, outputs in zip(dims, hidden_dims, strict=False)
        )
        self.stitches = nn.ParameterList(_first_stitch(len(tasks)) for _ in hidden_dims)
        self.output_dim = hidden_dims[-1]
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        hidden = inputs
        for layer, stitch in zip(self.layers, self.stitches, strict=True):
            hidden = torch.einsum("ts,sbh->tbh", stitch, layer(hidden))
        return dict(zip(self.tasks, hidden.unbind(), strict=True))


def _first_stitch(num_tasks: int) -> Tensor:
    """(T, T), mostly a task's own; rows add up to 1."""
    if num_tasks == 1:
        return torch.ones(1, 1)
    stitch = torch.full((num_tasks, num_tasks), OTHERS_SHARE / (num_tasks - 1))
    return stitch.fill_diagonal_(1 - OTHERS_SHARE)
