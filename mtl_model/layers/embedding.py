"""All embedding slots in one table.

Shapes: B = batch, S = slots, D = embedding dim.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_STD = 0.05


class FusedEmbedding(nn.Module):
    """One table per distinct embedding dim, usually one in all: a single lookup instead of one per field.

    A slot's rows stand in its table from the slot's offset on.
    """

    def __init__(self, slot_rows: Sequence[int], slot_dims: Sequence[int]) -> None:
        super().__init__()
        self.output_dim = sum(slot_dims)
        self.tables = nn.ParameterDict()
        self.slots: dict[str, list[int]] = {}
        for dim in sorted(set(slot_dims)):
            slots = [slot for slot, slot_dim in enumerate(slot_dims) if slot_dim == dim]
            rows = [slot_rows[slot] for slot in slots]
            self.slots[str(dim)] = slots
            self.tables[str(dim)] = nn.Parameter(torch.empty(sum(rows), dim).normal_(std=INITIAL_STD))
            offsets = torch.tensor([0, *accumulate(rows[:-1])])
            self.register_buffer(f"offsets_{dim}", offsets, persistent=False)

    def forward(self, ids: Tensor) -> list[Tensor]:
        """Maps ids (B, S) to the slots' embeddings side by side, one (B, slots of that dim * D) per table."""
        outputs = []
        for dim, table in self.tables.items():
            slots = self.slots[dim]
            slot_ids = ids if len(slots) == ids.shape[1] else ids[:, slots]
            rows = slot_ids + self.get_buffer(f"offsets_{dim}")
            outputs.append(F.embedding(rows, table).flatten(start_dim=1))
        return outputs
