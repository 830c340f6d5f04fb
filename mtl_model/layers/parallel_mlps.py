"""Several MLPs of one shape, side by side.

Shapes: B = batch, S = different inputs, I = input dim, M = MLPs, H = a layer's output dim.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_model.layers.parallel_layer import parallel_layer
from mtl_model.layers.precision import match_autocast

FLOATS_PER_CACHE_LINE = 16


class ParallelMLPs(nn.Module):
    """Layers as in MLP; the first layers of all MLPs with the same input are one wide product.

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

    def forward(self, inputs: Tensor, shares: Sequence[int] | None = None) -> Tensor:
        """Maps common inputs (B, I), or each MLP's own (M, B, I), to outputs (M, B, H).

        With `shares`, inputs are (S, B, I): the first shares[0] MLPs read the first, and so on.
        """
        own = [1] * self.num_mlps
        if inputs.dim() == 2:
            padded, weight = align(inputs, self.first)
            hidden = self._layer(padded[None], weight, None, [self.num_mlps])
        else:
            hidden = self._layer(inputs, self.first.weight, self.first.bias, shares or own)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = self._layer(hidden.transpose(0, 1), weight.transpose(1, 2), bias, own)
        return hidden.transpose(0, 1)  # (M, B, H), a view

    def _layer(self, inputs: Tensor, weight: Tensor, bias: Tensor | None, shares: Sequence[int]) -> Tensor:
        """Maps (S, B, I) to (B, M, H)."""
        if weight.dim() == 2:
            weight = torch.unflatten(weight, 0, (self.num_mlps, -1))
        if bias is not None:
            (bias,) = match_autocast(bias.view(self.num_mlps, -1))
        inputs, weight = match_autocast(inputs, weight)
        return self._activate(inputs, weight, bias, shares)

    def _activate(self, inputs: Tensor, weight: Tensor, bias: Tensor | None, shares: Sequence[int]) -> Tensor:
        return self._drop(parallel_layer(inputs, weight, bias, shares))

    def _drop(self, hidden: Tensor) -> Tensor:
        return F.dropout(hidden, self.dropout, self.training) if self.dropout else hidden


def align(inputs: Tensor, linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Inputs (B, I) and weight (H, I) filled up to whole cache lines: a 1 that stands by the biases, zeros.

    Rows that start at a cache line make wide products faster, above all those of the backward pass; a bias
    inside the product, and its gradient, take no pass over the outputs.
    """
    tail = inputs.new_zeros(1, 1 + -(linear.in_features + 1) % FLOATS_PER_CACHE_LINE)
    padded = torch.cat([inputs, F.pad(tail[:, 1:], (1, 0), value=1.0).expand(len(inputs), -1)], dim=1)
    zeros = linear.weight.new_zeros(linear.out_features, tail.shape[1] - 1)
    return padded, torch.cat([linear.weight, linear.bias[:, None], zeros], dim=1)


def parallel_linear(linear: nn.Linear, inputs: Tensor, num_maps: int) -> Tensor:
    """`num_maps` linear maps whose weights stand below each other in one.

    Maps common inputs (B, I), or each map's own (M, B, I), to (M, B, H).
    """
    if inputs.dim() == 2:
        outputs: Tensor = linear(inputs)
        return torch.unflatten(outputs, 1, (num_maps, -1)).transpose(0, 1)
    weight = torch.unflatten(linear.weight, 0, (num_maps, -1)).transpose(1, 2)  # (M, I, H)
    return torch.baddbmm(linear.bias.view(num_maps, 1, -1), inputs, weight)
