"""A sequence as the mean of its items, in no order.

Shapes: B = batch, L = sequence length, D = embedding dim.
"""

from torch import Tensor, nn


class MeanPooling(nn.Module):
    def __init__(self, embedding_dim: int) -> None:
        super().__init__()
        self.output_dim = embedding_dim

    def forward(self, sequences: Tensor, masks: Tensor) -> Tensor:
        """Maps sequences (B, L, D), masks (B, L), 0 where padded, to (B, D); 0 for an empty sequence."""
        masks = masks.to(sequences.dtype)[:, :, None]
        sums = sequences.masked_fill(masks == 0, 0.0).sum(dim=1)
        return sums / masks.sum(dim=1).clamp(min=1.0)
