"""A layer of several MLPs side by side, with a backward pass of its own.

A step on a CPU waits for memory as much as for products. Outputs stand side by side in one tensor from the
start, products are written where they belong, ReLU and its derivative work in place: nothing is transposed or
copied between one layer and the next.

Shapes: B = batch, S = different inputs, I = input dim, M = MLPs, H = output dim.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

EPS = 1e-5  # as nn.LayerNorm has it


class Run(NamedTuple):
    """MLPs beside each other that read the same input: one product for them all."""

    source: int
    start: int
    stop: int


class ParallelLayer(torch.autograd.Function):
    """Linear, and unless `linear_only` ReLU and a LayerNorm without weights."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, runs: Sequence[Run], linear_only: bool
    ) -> Tensor:
        num_mlps, width = weight.shape[:2]
        hidden = inputs.new_empty(inputs.shape[1], num_mlps, width)
        for run, mapping in _by_run(runs, weight):
            outputs = hidden[:, run.start : run.stop].flatten(start_dim=1)
            if bias is None:
                torch.mm(inputs[run.source], mapping.T, out=outputs)
            else:
                of_run = bias[run.start : run.stop].flatten()
                torch.addmm(of_run, inputs[run.source], mapping.T, out=outputs)
        ctx.runs, ctx.linear_only = runs, linear_only
        if linear_only:
            ctx.save_for_backward(inputs, weight)
            return hidden
        normed, means, inverse_stds = torch.native_layer_norm(
            hidden.relu_(), (width,), _ones(hidden), None, EPS
        )
        ctx.save_for_backward(inputs, weight, hidden, means, inverse_stds)
        return normed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, *of_norm = ctx.saved_tensors
        gradient = gradients[0].contiguous() if ctx.linear_only else _before_norm(gradients[0], *of_norm)
        of_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[0] else None
        of_weight = torch.empty_like(weight)  # MLPs of one run stand below each other here, too
        for (run, mapping), (_, of_mapping) in zip(
            _by_run(ctx.runs, weight), _by_run(ctx.runs, of_weight), strict=True
        ):
            of_run = gradient[:, run.start : run.stop].flatten(start_dim=1)
            torch.mm(of_run.T, inputs[run.source], out=of_mapping)
            if of_inputs is not None:
                torch.mm(of_run, mapping, out=of_inputs[run.source])
        of_bias = gradient.sum(dim=0) if ctx.needs_input_grad[2] else None
        return of_inputs, of_weight, of_bias, None, None


def parallel_layer(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, shares: Sequence[int], linear_only: bool = False
) -> Tensor:
    """Maps inputs (S, B, I) by weight (M, H, I) and bias (M, H) to (B, M, H).

    The first shares[0] MLPs read the first input, the next shares[1] the second, and so on.
    """
    runs, start = [], 0
    for source, share in enumerate(shares):
        runs.append(Run(source, start, start + share))
        start += share
    outputs: Tensor = ParallelLayer.apply(inputs, weight, bias, runs, linear_only)  # type: ignore[no-untyped-call]
    return outputs


def _by_run(runs: Sequence[Run], weight: Tensor) -> Iterator[tuple[Run, Tensor]]:
    """Each run with its part of the weight, a view (H of all its MLPs, I)."""
    for run in runs:
        of_run = weight[run.start : run.stop]
        yield run, of_run[0] if len(of_run) == 1 else of_run.view(-1, weight.shape[2])


def _before_norm(gradient: Tensor, hidden: Tensor, means: Tensor, inverse_stds: Tensor) -> Tensor:
    """The gradient by what goes into ReLU, from that by what comes out of LayerNorm."""
    by_norm, _, _ = torch.ops.aten.native_layer_norm_backward(
        gradient, hidden, hidden.shape[-1:], means, inverse_stds, _ones(hidden), None, [True, False, False]
    )
    by_relu: Tensor = torch.ops.aten.threshold_backward.grad_input(by_norm, hidden, 0, grad_input=by_norm)
    return by_relu


def _ones(hidden: Tensor) -> Tensor | None:
    """Weights that let a LayerNorm of bf16 keep its statistics in fp32."""
    return torch.ones(hidden.shape[-1], device=hidden.device) if hidden.dtype == torch.bfloat16 else None
