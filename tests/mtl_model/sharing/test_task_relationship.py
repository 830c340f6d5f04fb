import pytest
import torch
from torch import Tensor

from mtl_model.sharing.task_relationship import task_covariance
from tests.mtl_model.sharing.build_sharing import build_sharing


@pytest.fixture
def head_weights() -> list[Tensor]:
    """Of a task with one logit, one with three and one with two."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(num_logits, 8, generator=generator, requires_grad=True) for num_logits in (1, 3, 2)]


def nuclear_norm(head_weights: list[Tensor]) -> Tensor:
    norm: Tensor = torch.linalg.svdvals(torch.cat(head_weights)).sum()
    return norm


def test_the_penalty_is_the_squared_nuclear_norm(head_weights: list[Tensor]) -> None:
    """The least tr(W Omega^-1 W^T) over all Omega (Argyriou et al., 2008), and its gradient, Omega held."""
    penalty = build_sharing("task_relationship").penalty(head_weights)

    expected = 0.1 * nuclear_norm(head_weights) ** 2
    torch.testing.assert_close(penalty, expected, rtol=1e-4, atol=0.0)
    gradients = torch.autograd.grad(penalty, head_weights)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, head_weights), rtol=1e-3, atol=1e-4)


def test_no_other_covariance_gives_a_smaller_penalty(head_weights: list[Tensor]) -> None:
    weights = torch.cat(head_weights).detach()
    best = task_covariance(head_weights)
    least = torch.trace(weights.T @ torch.linalg.inv(best) @ weights)

    for seed in range(20):
        noise = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed))
        other = best + 0.01 * noise @ noise.T
        other = other / torch.trace(other)
        assert torch.trace(weights.T @ torch.linalg.inv(other) @ weights) > least

    torch.testing.assert_close(torch.trace(best), torch.tensor(1.0))


def test_heads_of_equal_and_opposite_weights_are_found_related() -> None:
    row = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    covariance = task_covariance([row, row, -row])

    torch.testing.assert_close(covariance[0, 1], covariance[0, 0], rtol=0.02, atol=0.0)
    torch.testing.assert_close(covariance[0, 2], -covariance[0, 0], rtol=0.02, atol=0.0)


def test_more_logits_than_dims_keep_the_penalty_finite() -> None:
    weights = torch.randn(12, 4, requires_grad=True)

    penalty = build_sharing("task_relationship").penalty([weights, torch.zeros(2, 4)])

    torch.testing.assert_close(penalty, 0.1 * nuclear_norm([weights]) ** 2, rtol=2e-2, atol=0.0)
    torch.autograd.backward(penalty)
    assert weights.grad is not None
    assert torch.isfinite(weights.grad).all()
