"""A sequence whose items look at each other, then their mean.

Vaswani et al., 2017, arxiv.org/abs/1706.03762; for behaviours Chen et al., 2019, arxiv.org/abs/1905.06874.

Shapes: B = batch, L = sequence length, D = embedding dim.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_model.layers.mean_pooling import MeanPooling


class SequenceTransformer(nn.Module):
    """Learned positions, then layers with LayerNorm before attention and before the feed-forward part."""

    def __init__(
        self,
        embedding_dim: int,
        max_length: int,
        num_layers: int,
        num_heads: int,
        feedforward_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(max_length, embedding_dim).normal_(std=0.02))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                embedding_dim, num_heads, feedforward_dim, dropout, batch_first=True, norm_first=True
            )
            for _ in range(num_layers)
        )
        self.pooling = MeanPooling(embedding_dim)
        self.output_dim = embedding_dim

    def forward(self, sequences: Tensor, masks: Tensor) -> Tensor:
        """Maps sequences (B, L, D), masks (B, L), 0 where padded, to (B, D); 0 for an empty sequence."""
        if len(sequences) == 0:  # which its attention refuses while training
            one_row = F.pad(sequences, (0, 0, 0, 0, 0, 1)), F.pad(masks, (0, 0, 0, 1))
            return self.forward(*one_row)[:0]
        length = sequences.shape[1]
        if length > len(self.positions):
            raise ValueError(f"a sequence has {length} items, but max_length is {len(self.positions)}")
        padded = masks == 0
        hidden = sequences.masked_fill(padded[:, :, None], 0.0) + self.positions[:length]
        # attention over nothing is no number on some devices: an empty sequence may look at its padding
        unseen = padded & ~padded.all(dim=1, keepdim=True)
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=unseen)
        pooled: Tensor = self.pooling(hidden, masks)
        return pooled
