import pytest
import torch
from torch.nn import functional as F

from mtl_model.layers.sum_by_id import look_up, sum_by_id


@pytest.mark.parametrize("num_rows", [0, 1, 1000])
def test_sums_are_those_of_unique_ids_bit_for_bit(num_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 10_000_000, (num_rows,), generator=generator)
    ids[::3] = 7
    rows = torch.randn(num_rows, 5, generator=generator)

    unique_ids, sums = sum_by_id(ids, rows)

    expected_ids, positions = torch.unique(ids, return_inverse=True)
    assert torch.equal(unique_ids, expected_ids)
    assert torch.equal(sums, torch.zeros(len(expected_ids), 5).index_add_(0, positions, rows))


@pytest.mark.parametrize("shape", [(0,), (64,), (32, 3)], ids=str)
def test_a_looked_up_tables_dense_gradient_is_torchs_own_bit_for_bit(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 9, shape, generator=generator)
    into = torch.randn(*shape, 4, generator=generator)
    ours, theirs = (torch.ones(20, 4, requires_grad=True) for _ in range(2))

    rows = look_up(ids, ours, sparse_gradient=False)
    torch.autograd.backward([(rows * into).sum(), (F.embedding(ids, theirs) * into).sum()])

    assert torch.equal(rows, F.embedding(ids, theirs))
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)
