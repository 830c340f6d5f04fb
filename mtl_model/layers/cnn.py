"""A sequence by the strongest answer of each filter to its neighbouring items.

Kim, EMNLP 2014, arxiv.org/abs/1408.5882; for behaviours Tang and Wang, WSDM 2018, arxiv.org/abs/1809.07426.

Shapes: B = batch, L = sequence length, D = embedding dim, C = filters of each width.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SequenceCNN(nn.Module):
    def __init__(self, embedding_dim: int, num_filters: int, filter_widths: Sequence[int]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_dim, num_filters, width) for width in filter_widths
        )
        self.output_dim = num_filters * len(filter_widths)

    def forward(self, sequences: Tensor, masks: Tensor) -> Tensor:
        """Maps sequences (B, L, D), masks (B, L), 0 where padded, to (B, C * widths); 0 for an empty one.

        Padding counts as zeros, as what lies beyond either end does.
        """
        padded = (masks == 0)[:, None]  # (B, 1, L)
        items = sequences.transpose(1, 2).masked_fill(padded, 0.0)  # (B, D, L)
        answers = [F.relu(convolution(_pad(items, convolution))) for convolution in self.convolutions]
        return torch.cat(answers, dim=1).masked_fill(padded, 0.0).amax(dim=2)


def _pad(items: Tensor, convolution: nn.Module) -> Tensor:
    """Zeros at both ends, so that there is an answer for every item."""
    (width,) = cast(nn.Conv1d, convolution).kernel_size
    return F.pad(items, ((width - 1) // 2, width // 2))
