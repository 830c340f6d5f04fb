import torch

from mtl_model.layers.embedding import FusedEmbedding
from mtl_model.layers.factorization import Factorization, FactorSlot

DIM, TASKS = 3, 2
USER, CITY, ITEM, GENRES = (FactorSlot(slot, slice(slot, slot + 1)) for slot in range(4))
GENRES = GENRES._replace(columns=slice(3, 5))
IDS = torch.tensor([[1, 2, 3, 2, 3], [2, 0, 1, 1, 0]])


def build(num_copies: int = 1) -> tuple[FusedEmbedding, Factorization]:
    torch.manual_seed(0)
    embedding = FusedEmbedding([4] * 4, [DIM + TASKS] * 4, [num_copies] * 4, apart=range(4))
    return embedding, Factorization([[USER, CITY], [ITEM, GENRES]], DIM, TASKS)


def test_the_sums_of_both_sides_are_multiplied_and_their_biases_added() -> None:
    embedding, factorization = build()
    user, city, item, genre = (embedding.slot_weights(slot) for slot in range(4))

    factors, squares = factorization(IDS, embedding)

    one, other = user[1] + city[2], item[3] + (genre[2] + genre[3]) / 2
    expected = torch.cat([one[:DIM] * other[:DIM], one[DIM:] + other[DIM:]])
    torch.testing.assert_close(factors[0], expected)
    fields = [user[2], city[0], item[1], genre[1]]
    torch.testing.assert_close(squares[1], torch.stack([field.square().sum() for field in fields]).sum())
    assert embedding(IDS) == []


def test_a_head_begins_with_the_product_and_the_biases_of_its_own_task() -> None:
    _, factorization = build()
    head = torch.nn.Linear(4 + DIM + TASKS, 1)

    factorization.init_head(head.weight, task=1, scale=2.0)

    assert head.weight[0, 4:].tolist() == [2, 2, 2, 0, 2]
    assert head.weight[0, :4].abs().min() > 0


def test_each_copy_has_factors_of_its_own() -> None:
    embedding, factorization = build(num_copies=2)

    factors, squares = factorization(IDS, embedding)

    assert factors.shape == (2, 2, DIM + TASKS)
    assert squares.shape == (2, 2)
    assert not torch.allclose(factors[0], factors[1])
