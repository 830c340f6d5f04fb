import pytest
import torch

from mtl_model.layers.mlp import MLP


@pytest.mark.parametrize(("hidden_dims", "output_dim"), [((8, 3), 3), ((), 5)])
def test_a_batch_of_one_scores_as_within_a_larger_batch(
    hidden_dims: tuple[int, ...], output_dim: int
) -> None:
    mlp = MLP(5, hidden_dims, dropout=0.5).eval()
    inputs = torch.randn(7, 5)

    outputs = mlp(inputs)

    assert outputs.shape == (7, output_dim)
    torch.testing.assert_close(mlp(inputs[:1]), outputs[:1])
