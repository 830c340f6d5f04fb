"""Rules of every way of pooling a list field, on the embeddings of a fused table."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from mtl_model.layers.config import PoolingConfig
from mtl_model.layers.embedding import FusedEmbedding
from mtl_model.layers.pooled_lists import ListSlot, PooledList

POOLINGS: dict[str, dict[str, Any]] = {
    "mean": {},
    "cnn": {"num_filters": 3, "filter_widths": [1, 2]},
    "din": {"hidden_dims": [5]},
    "transformer": {"num_layers": 1, "num_heads": 2, "feedforward_dim": 8},
}
ITEM, LENGTH, DIM = 1, 3, 4  # the list shares the embeddings of slot 1


def build(
    name: str, num_copies: int = 1, sparse: bool = False, slot: int = ITEM
) -> tuple[FusedEmbedding, PooledList]:
    """Slots: a user of 3 rows, an item of 6, and a list of its own of 6."""
    torch.manual_seed(0)
    copies = [num_copies] * 3
    embedding = FusedEmbedding([3, 6, 6], [DIM] * 3, copies, sparse_gradients=sparse, apart=[2])
    settings: PoolingConfig = TypeAdapter(PoolingConfig).validate_python({"name": name} | POOLINGS[name])
    return embedding, PooledList(ListSlot(slot, slice(2, 2 + LENGTH), DIM, settings), num_copies, dropout=0.0)


def ids_of(*lists: list[int], item: int = 5) -> Tensor:
    """A user, an item and a list, padded."""
    return torch.tensor([[2, item, *one, *[0] * (LENGTH - len(one))] for one in lists])


@pytest.mark.parametrize("slot", [pytest.param(1, id="of an id field"), pytest.param(2, id="of its own")])
def test_the_mean_is_of_the_items_alone(slot: int) -> None:
    embedding, pool = build("mean", slot=slot)
    rows = embedding.slot_weights(slot)

    pooled = pool(ids_of([3, 4], [2], []), embedding)

    torch.testing.assert_close(pooled, torch.stack([(rows[3] + rows[4]) / 2, rows[2], torch.zeros(DIM)]))


@pytest.mark.parametrize("name", POOLINGS)
def test_a_batch_of_one_gives_what_it_gives_among_others(name: str) -> None:
    embedding, pool = build(name)
    lists = [[3, 4, 2], [5], [], [2, 2]]

    together = pool(ids_of(*lists), embedding)

    assert together.shape == (4, pool.output_dim)
    for row, one in enumerate(lists):
        torch.testing.assert_close(pool(ids_of(one), embedding)[0], together[row])


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("sparse", [False, True])
def test_the_gradient_reaches_the_items_and_never_the_padding(name: str, sparse: bool) -> None:
    embedding, pool = build(name, sparse=sparse)

    pool(ids_of([3, 4], [3]), embedding).square().sum().backward()

    gradient = embedding.tables["4"].grad
    assert gradient is not None
    touched = gradient.to_dense().abs().sum(dim=1).nonzero().flatten().tolist()
    items = [3 + 3, 3 + 4]  # behind the three rows of the user
    assert touched == items + ([3 + 5] if name == "din" else [])  # the target


def test_only_din_looks_at_the_target() -> None:
    for name in POOLINGS:
        embedding, pool = build(name)
        seen_from = [pool(ids_of([3, 4], item=item), embedding) for item in (2, 5)]

        assert torch.equal(*seen_from) == (name != "din")


@pytest.mark.parametrize("name", POOLINGS)
def test_each_copy_of_the_ids_is_pooled_on_its_own(name: str) -> None:
    embedding, pool = build(name, num_copies=2)
    ids = ids_of([3, 4], [])

    first, second = pool(ids, embedding).unbind()
    first.sum().backward()

    table = embedding.tables["4x2"]
    assert first.shape == (2, pool.output_dim)
    assert not torch.allclose(first[0], second[0])
    assert table.grad is not None
    assert table.grad[:, DIM:].abs().sum() == 0
    others = [parameter.grad for parameter in pool.poolings[1].parameters()]
    assert all(gradient is None or not gradient.any() for gradient in others)
