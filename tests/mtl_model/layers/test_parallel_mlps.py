import pytest
import torch
from torch.nn import functional as F

from mtl_model.layers.parallel_mlps import FLOATS_PER_CACHE_LINE, ParallelMLPs

NUM_MLPS, BATCH = 5, 3


def plain_mlps(mlps: ParallelMLPs, by_mlp: list[torch.Tensor]) -> torch.Tensor:
    """Each MLP by itself, of its input (B, I): (M, B, H)."""
    outputs = []
    firsts = zip(mlps.first.weight.chunk(NUM_MLPS), mlps.first.bias.chunk(NUM_MLPS), strict=True)
    for position, (weight, bias) in enumerate(firsts):
        hidden = F.linear(by_mlp[position], weight, bias).relu()
        hidden = F.layer_norm(hidden, hidden.shape[-1:])
        for later, later_bias in zip(mlps.weights, mlps.biases, strict=True):
            hidden = (hidden @ later[position] + later_bias[position]).relu()
            hidden = F.layer_norm(hidden, hidden.shape[-1:])
        outputs.append(hidden)
    return torch.stack(outputs)


@pytest.mark.parametrize("input_dim", [1, FLOATS_PER_CACHE_LINE - 1, FLOATS_PER_CACHE_LINE])
@pytest.mark.parametrize("hidden_dims", [(6,), (6, 4), (6, 4, 3)], ids=str)
@pytest.mark.parametrize(
    "shares",
    [
        pytest.param(None, id="common input"),
        pytest.param([1] * NUM_MLPS, id="own inputs"),
        pytest.param([2, 1, 2], id="shared by some"),
    ],
)
def test_parallel_mlps_and_their_gradients_are_those_of_single_ones(
    input_dim: int, hidden_dims: tuple[int, ...], shares: list[int] | None
) -> None:
    torch.manual_seed(0)
    mlps = ParallelMLPs(input_dim, NUM_MLPS, hidden_dims, dropout=0.0).double()
    sizes = shares or [NUM_MLPS]
    inputs = torch.randn(len(sizes), BATCH, input_dim, dtype=torch.float64, requires_grad=True)

    outputs = mlps(inputs, shares) if shares else mlps(inputs[0])

    by_mlp = [inputs[source] for source, size in enumerate(sizes) for _ in range(size)]
    expected = plain_mlps(mlps, by_mlp)
    torch.testing.assert_close(outputs, expected)
    into, parameters = torch.randn_like(expected), [inputs, *mlps.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((outputs * into).sum(), parameters),
        torch.autograd.grad((expected * into).sum(), parameters),
    )


def test_an_empty_batch_has_gradients_of_zero() -> None:
    mlps = ParallelMLPs(4, NUM_MLPS, (6, 3), dropout=0.0)

    mlps(torch.empty(0, 4)).sum().backward()

    for parameter in mlps.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()
