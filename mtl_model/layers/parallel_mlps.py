"""Several MLPs of one shape, side by side.

Shapes: B = batch, I = input dim, M = MLPs, H = a layer's output dim.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOATS_PER_CACHE_LINE = 16


class ParallelMLPs(nn.Module):
    """Layers as in MLP; on common inputs the first layers are one wide product, the others batched ones.

    Each weight is drawn on its own, so that the MLPs differ from the start.
    """

    def __init__(self, input_dim: int, num_mlps: int, hidden_dims: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.num_mlps, self.dropout = num_mlps, dropout
        self.output_dim = hidden_dims[-1]
        self.first = nn.Linear(input_dim, num_mlps * hidden_dims[0])
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in pairwise(hidden_dims):
            bound = 1 / math.sqrt(inputs)  # as nn.Linear does
            self.weights.append(nn.Parameter(torch.empty(num_mlps, inputs, outputs).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(num_mlps, 1, outputs).uniform_(-bound, bound)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps common inputs (B, I), or each MLP's own (M, B, I), to outputs (M, B, H)."""
        if inputs.dim() == 2:
            hidden = torch.unflatten(aligned_linear(self.first, inputs), 1, (self.num_mlps, -1))  # (B, M, H)
            hidden = self._activate(hidden).transpose(0, 1)  # (M, B, H), a view
        else:
            hidden = self._activate(parallel_linear(self.first, inputs, self.num_mlps))
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = self._activate(torch.baddbmm(bias, hidden, weight))
        return hidden

    def _activate(self, hidden: Tensor) -> Tensor:
        hidden = F.layer_norm(F.relu(hidden), hidden.shape[-1:])
        return F.dropout(hidden, self.dropout, self.training) if self.dropout else hidden


def aligned_linear(linear: nn.Linear, inputs: Tensor) -> Tensor:
    """The linear map of inputs (B, I), with zeros after the last input.

    Rows that start at a cache line make wide products faster, above all those of the backward pass.
    """
    padding = (0, -linear.in_features % FLOATS_PER_CACHE_LINE)
    return F.linear(F.pad(inputs, padding), F.pad(linear.weight, padding), linear.bias)


def parallel_linear(linear: nn.Linear, inputs: Tensor, num_maps: int) -> Tensor:
    """`num_maps` linear maps whose weights stand below each other in one.

    Maps common inputs (B, I), or each map's own (M, B, I), to (M, B, H).
    """
    if inputs.dim() == 2:
        outputs: Tensor = linear(inputs)
        return torch.unflatten(outputs, 1, (num_maps, -1)).transpose(0, 1)
    weight = torch.unflatten(linear.weight, 0, (num_maps, -1)).transpose(1, 2)  # (M, I, H)
    return torch.baddbmm(linear.bias.view(num_maps, 1, -1), inputs, weight)
