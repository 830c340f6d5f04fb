"""All embedding slots in one table.

Shapes: B = batch, S = slots, D = embedding dim, C = copies.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_STD = 0.05


class FusedEmbedding(nn.Module):
    """One table per distinct embedding dim, usually one in all: a single lookup instead of one per field.

    A slot's rows stand in its table from the slot's offset on. A slot with C copies has C embeddings per id,
    such as one per task, side by side in a row of its table: one lookup reads them all.

    With `sparse_gradients` a table's gradient holds the rows looked up and no other: its size does not grow
    with the table's.
    """

    def __init__(
        self,
        slot_rows: Sequence[int],
        slot_dims: Sequence[int],
        slot_copies: Sequence[int] | None = None,
        sparse_gradients: bool = False,
    ) -> None:
        super().__init__()
        kinds = list(zip(slot_dims, slot_copies or [1] * len(slot_dims), strict=True))
        self.output_dim, self.sparse_gradients = sum(slot_dims), sparse_gradients
        self.num_copies = max((copies for _, copies in kinds), default=1)
        self.tables = nn.ParameterDict()
        self.slots: dict[str, list[int]] = {}
        self.copies: dict[str, int] = {}
        for dim, copies in sorted(set(kinds)):
            name = f"{dim}x{copies}" if copies > 1 else str(dim)
            slots = [slot for slot, kind in enumerate(kinds) if kind == (dim, copies)]
            rows = [slot_rows[slot] for slot in slots]
            self.slots[name], self.copies[name] = slots, copies
            self.tables[name] = nn.Parameter(torch.empty(sum(rows), dim * copies).normal_(std=INITIAL_STD))
            offsets = torch.tensor([0, *accumulate(rows[:-1])])
            self.register_buffer(f"offsets_{name}", offsets, persistent=False)

    def forward(self, ids: Tensor) -> list[Tensor]:
        """Maps ids (B, S) to the slots' embeddings side by side, one (B, slots of that dim * D) per table.

        Where a slot has copies, (C, B, slots of that dim * D); a slot without is the same in each of them.
        """
        outputs = []
        for name, table in self.tables.items():
            slots = self.slots[name]
            slot_ids = ids if len(slots) == ids.shape[1] else ids[:, slots]
            rows = slot_ids + self.get_buffer(f"offsets_{name}")
            embedded = F.embedding(rows, table, sparse=self.sparse_gradients)  # (B, slots, C * D)
            outputs.append(self._part_copies(embedded, self.copies[name]))
        return outputs

    def slot_weights(self, slot: int) -> Tensor:
        """The rows of one slot, a view (rows of the slot, D * C) into its table."""
        name = next(name for name, slots in self.slots.items() if slot in slots)
        offsets = [*self.get_buffer(f"offsets_{name}").tolist(), len(self.tables[name])]
        position = self.slots[name].index(slot)
        table: Tensor = self.tables[name]
        return table[offsets[position] : offsets[position + 1]]

    def sparse_parameters(self) -> list[str]:
        """Names of the parameters whose gradient is sparse."""
        return [f"tables.{name}" for name in self.tables] if self.sparse_gradients else []

    def _part_copies(self, embedded: Tensor, copies: int) -> Tensor:
        if self.num_copies == 1:
            return embedded.flatten(start_dim=1)
        if copies == 1:
            return embedded.flatten(start_dim=1).expand(self.num_copies, -1, -1)
        return torch.unflatten(embedded, 2, (copies, -1)).permute(2, 0, 1, 3).flatten(start_dim=2)
