import pytest
import torch
from torch import nn

from mtl_model.layers.parallel_mlps import FLOATS_PER_CACHE_LINE, aligned_linear


@pytest.mark.parametrize("input_dim", [1, FLOATS_PER_CACHE_LINE, FLOATS_PER_CACHE_LINE + 1])
def test_an_aligned_map_and_its_gradients_are_those_of_the_layer(input_dim: int) -> None:
    plain, aligned = nn.Linear(input_dim, 3), nn.Linear(input_dim, 3)
    aligned.load_state_dict(plain.state_dict())
    inputs = torch.randn(5, input_dim, requires_grad=True)
    inputs_beside = inputs.detach().clone().requires_grad_()

    expected, outputs = plain(inputs), aligned_linear(aligned, inputs_beside)
    torch.autograd.backward([expected.square().sum(), outputs.square().sum()])

    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(inputs_beside.grad, inputs.grad)
    torch.testing.assert_close(aligned.weight.grad, plain.weight.grad)
    torch.testing.assert_close(aligned.bias.grad, plain.bias.grad)
