"""bf16: the dense part of a training step in half the bits, its weights and sums of losses in fp32.

bfloat16 keeps the range of float32 with 8 significant bits, so no loss needs scaling (Kalamkar et al., 2019,
arxiv.org/abs/1905.12322).
"""

import torch
from torch import Tensor


def match_autocast(*tensors: Tensor) -> list[Tensor]:
    """The tensors in autocast's type where it is on: it does not reach into a backward pass of our own."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors]
