"""Id lists: their embeddings, each list pooled into one vector.

Shapes: B = batch, L = list length, D = embedding dim, C = copies, H = a pooling's output dim.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtl_model.layers.cnn import SequenceCNN
from mtl_model.layers.config import CNNConfig, DINConfig, PoolingConfig, TransformerConfig
from mtl_model.layers.din import DIN
from mtl_model.layers.embedding import FusedEmbedding
from mtl_model.layers.mean_pooling import MeanPooling
from mtl_model.layers.transformer import SequenceTransformer

Pooling = MeanPooling | SequenceCNN | DIN | SequenceTransformer


class ListSlot(NamedTuple):
    """`columns` of the ids hold the list, 0 where it is shorter; `slot` has its embeddings.

    The id that DIN sees the list from is that of the slot's own column.
    """

    slot: int
    columns: slice
    embedding_dim: int
    pooling: PoolingConfig


class PooledList(nn.Module):
    """One field. Where its ids have copies, one per task, so has its pooling: such tasks share nothing."""

    def __init__(self, of: ListSlot, num_copies: int, dropout: float) -> None:
        super().__init__()
        self.of = of
        poolings = [_build_pooling(of, dropout) for _ in range(num_copies)]
        self.poolings, self.output_dim = nn.ModuleList(poolings), poolings[0].output_dim
        self.is_mean = of.pooling.name == "mean"
        self.has_target = of.pooling.name == "din"

    def forward(self, ids: Tensor, embedding: FusedEmbedding) -> Tensor:
        """Maps the ids of all fields to (B, H), or (C, B, H) where ids have copies; 0 for an empty list."""
        items = ids[:, self.of.columns]
        if self.is_mean:  # the same as MeanPooling, without the embeddings of single items in memory
            lengths = (items > 0).sum(dim=1, keepdim=True).clamp(min=1)
            return embedding.sum_list(self.of.slot, items) / lengths
        embedded = embedding.embed_list(self.of.slot, items)
        inputs = [embedded, (items > 0).expand(embedded.shape[:-1])]
        if self.has_target:
            inputs.append(embedding.embed_list(self.of.slot, ids[:, [self.of.slot]]).squeeze(dim=-2))
        if embedded.dim() == 3:
            pooled: Tensor = self.poolings[0](*inputs)
            return pooled
        by_copy = zip(self.poolings, *inputs, strict=True)
        return torch.stack([pooling(*of_copy) for pooling, *of_copy in by_copy])


def _build_pooling(of: ListSlot, dropout: float) -> Pooling:
    settings = of.pooling
    if isinstance(settings, CNNConfig):
        return SequenceCNN(of.embedding_dim, settings.num_filters, settings.filter_widths)
    if isinstance(settings, DINConfig):
        return DIN(of.embedding_dim, settings.hidden_dims, dropout)
    if isinstance(settings, TransformerConfig):
        sizes = settings.num_layers, settings.num_heads, settings.feedforward_dim
        return SequenceTransformer(of.embedding_dim, of.columns.stop - of.columns.start, *sizes, dropout)
    return MeanPooling(of.embedding_dim)
