"""All embedding slots in one table.

Shapes: B = batch, S = scalar slots, L = list length, D = embedding dim, C = copies.
"""

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_model.layers.huge_pages import empty_table
from mtl_model.layers.sum_by_id import look_up

INITIAL_STD = 0.05


class Growth(NamedTuple):
    """A table in the place of a former one, and how many rows its slots had and have."""

    former: nn.Parameter
    table: nn.Parameter
    before: Sequence[int]
    after: Sequence[int]


class FusedEmbedding(nn.Module):
    """One table per distinct embedding dim, usually one in all: a single lookup instead of one per field.

    A slot's rows stand in its table from the slot's offset on. A slot with C copies has C embeddings per id,
    such as one per task, side by side in a row of its table: one lookup reads them all.

    `forward` leaves the slots `apart`, such as those of lists, to `embed_list` and `sum_list`.

    With `sparse_gradients` a table's gradient holds the rows looked up and no other: its size does not grow
    with the table's.
    """

    def __init__(
        self,
        slot_rows: Sequence[int],
        slot_dims: Sequence[int],
        slot_copies: Sequence[int] | None = None,
        sparse_gradients: bool = False,
        apart: Collection[int] = (),
    ) -> None:
        super().__init__()
        kinds = list(zip(slot_dims, slot_copies or [1] * len(slot_dims), strict=True))
        self.slot_rows = list(slot_rows)
        self.output_dim, self.sparse_gradients = sum(slot_dims), sparse_gradients
        self.output_dim -= sum(slot_dims[slot] for slot in apart)
        self.num_copies = max((copies for _, copies in kinds), default=1)
        self.tables = nn.ParameterDict()
        self.slots: dict[str, list[int]] = {}
        self.together: dict[str, list[int]] = {}
        self.copies: dict[str, int] = {}
        for dim, copies in sorted(set(kinds)):
            name = f"{dim}x{copies}" if copies > 1 else str(dim)
            slots = [slot for slot, kind in enumerate(kinds) if kind == (dim, copies)]
            slots.sort(key=lambda slot: slot in apart)  # those looked up together come first
            rows = [slot_rows[slot] for slot in slots]
            self.slots[name], self.copies[name] = slots, copies
            self.together[name] = [slot for slot in slots if slot not in apart]
            self.tables[name] = nn.Parameter(empty_table(sum(rows), dim * copies).normal_(std=INITIAL_STD))
            offsets = torch.tensor([0, *accumulate(rows[:-1])])
            self.register_buffer(f"offsets_{name}", offsets, persistent=False)

    def forward(self, ids: Tensor) -> list[Tensor]:
        """Maps ids (B, S) to the slots' embeddings side by side, one (B, slots of that dim * D) per table.

        Where a slot has copies, (C, B, slots of that dim * D); a slot without is the same in each of them.
        """
        outputs = []
        for name, table in self.tables.items():
            slots = self.together[name]
            if not slots:
                continue
            slot_ids = ids if len(slots) == ids.shape[1] else ids[:, slots]
            rows = slot_ids + self.get_buffer(f"offsets_{name}")[: len(slots)]
            embedded = look_up(rows, table, self.sparse_gradients)  # (B, slots, C * D)
            outputs.append(self._part_copies(embedded, self.copies[name]).flatten(start_dim=-2))
        return outputs

    def embed_list(self, slot: int, ids: Tensor) -> Tensor:
        """Maps ids (B, L) of one slot to its embeddings (B, L, D), or (C, B, L, D) as `forward` does."""
        name, offset = self._place(slot)
        embedded = look_up(ids + offset, self.tables[name], self.sparse_gradients)
        return self._part_copies(embedded, self.copies[name])

    def sum_list(self, slot: int, ids: Tensor) -> Tensor:
        """The sum of `embed_list` over the list, but for padding, id 0: (B, D), or (C, B, D)."""
        name, offset = self._place(slot)
        sums = F.embedding_bag(
            ids + offset, self.tables[name], mode="sum", sparse=self.sparse_gradients, padding_idx=offset
        )
        return self._part_copies(sums[:, None], self.copies[name]).squeeze(dim=-2)

    def slot_weights(self, slot: int) -> Tensor:
        """The rows of one slot, a view (rows of the slot, D * C) into its table."""
        name, offset = self._place(slot)
        table: Tensor = self.tables[name]
        return table[offset : offset + self.slot_rows[slot]]

    @torch.no_grad()
    def grow(self, slot_rows: Sequence[int], like: int) -> list[Growth]:
        """Gives each slot `slot_rows` rows, the new ones behind its own: each a copy of its row `like`."""
        growths = []
        for name, slots in self.slots.items():
            before, after = ([rows[slot] for slot in slots] for rows in (self.slot_rows, slot_rows))
            if before == after:
                continue
            former = cast(nn.Parameter, self.tables[name])
            self.tables[name] = nn.Parameter(grow_slots(former, before, after, like))
            offsets = torch.tensor([0, *accumulate(after[:-1])], device=former.device)
            self.register_buffer(f"offsets_{name}", offsets, persistent=False)
            growths.append(Growth(former, cast(nn.Parameter, self.tables[name]), before, after))
        self.slot_rows = list(slot_rows)
        return growths

    def sparse_parameters(self) -> list[str]:
        """Names of the parameters whose gradient is sparse."""
        return [f"tables.{name}" for name in self.tables] if self.sparse_gradients else []

    def _place(self, slot: int) -> tuple[str, int]:
        """The table of a slot and its first row there."""
        name = next(name for name, slots in self.slots.items() if slot in slots)
        return name, int(self.get_buffer(f"offsets_{name}")[self.slots[name].index(slot)])

    def _part_copies(self, embedded: Tensor, copies: int) -> Tensor:
        """Maps (B, L, C * D) to (C, B, L, D), or leaves it where no slot has copies."""
        if self.num_copies == 1:
            return embedded
        if copies == 1:
            return embedded.expand(self.num_copies, -1, -1, -1)
        return torch.unflatten(embedded, 2, (copies, -1)).permute(2, 0, 1, 3)


def grow_slots(rows: Tensor, before: Sequence[int], after: Sequence[int], like: int | None = None) -> Tensor:
    """The rows of slots that stand below each other; what a slot has gained is 0, or like its row `like`."""
    grown = empty_table(sum(after), rows.shape[1]).zero_().to(rows.device)
    for old, new in zip(torch.split(rows, [*before]), torch.split(grown, [*after]), strict=True):
        new[: len(old)] = old
        if like is not None:
            new[len(old) :] = old[like]
    return grown
