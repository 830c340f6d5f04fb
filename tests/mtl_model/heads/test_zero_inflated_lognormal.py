import math

import pytest
import torch

from mtl_model.heads.zero_inflated_lognormal import MAX_SIGMA, ZeroInflatedLognormalHead

HEAD = ZeroInflatedLognormalHead(4)


def logits(logit: float, mu: float, sigma: float) -> torch.Tensor:
    """One row of logits whose sigma is `sigma`."""
    return torch.tensor([[logit, mu, math.log(math.expm1(sigma))]])


def test_nothing_spent_costs_the_cross_entropy_alone() -> None:
    losses = HEAD.row_losses(logits(0.5, 3.0, 0.1), torch.tensor([[0.0]]))

    torch.testing.assert_close(losses, torch.tensor([math.log(1 + math.exp(0.5))]))


def test_a_value_costs_its_lognormal_density_too() -> None:
    density = -math.log(2.5 * 0.7 * math.sqrt(2 * math.pi)) - (math.log(2.5) - 0.3) ** 2 / (2 * 0.7**2)

    losses = HEAD.row_losses(logits(0.0, 0.3, 0.7), torch.tensor([[250.0]]))

    torch.testing.assert_close(losses, torch.tensor([math.log(2) - density]))


def test_the_expectation_is_in_cents_and_corrected_for_sampled_negatives() -> None:
    expected = HEAD.predict(logits(math.log(2.0), 0.3, 0.7), math.log(0.5))

    torch.testing.assert_close(expected, torch.tensor([100 * 0.5 * math.exp(0.3 + 0.7**2 / 2)]))


@pytest.mark.parametrize("label", [0.0, 1.0, 1e7])
@pytest.mark.parametrize("raw", [-1e4, 0.0, 1e4])
def test_loss_gradient_and_expectation_stay_finite(label: float, raw: float) -> None:
    row = torch.tensor([[raw, raw / 100, raw]], requires_grad=True)

    losses = HEAD.row_losses(row, torch.tensor([[label]]))

    assert torch.isfinite(losses).all()
    assert torch.isfinite(torch.autograd.grad(losses.sum(), row)[0]).all()
    assert torch.isfinite(HEAD.predict(row, 0.0)).all()


def test_sigma_is_clipped() -> None:
    assert HEAD.predict(logits(50.0, 0.0, 10.0), 0.0).item() == pytest.approx(
        100 * math.exp(MAX_SIGMA**2 / 2)
    )


@pytest.mark.parametrize("label", [0.0, 1.0, 250.0])
def test_the_least_loss_is_reached_by_the_best_logits_only(label: float) -> None:
    labels = torch.tensor([[label]])
    happened = 50.0 if label else -50.0
    log_value = math.log(label / 100) if label else 0.0

    best = HEAD.row_losses(logits(happened, log_value, 0.001), labels)
    others = [HEAD.row_losses(logits(happened, log_value + 0.1, sigma), labels) for sigma in (0.05, 1.0)]

    torch.testing.assert_close(HEAD.least_row_losses(labels), best)
    assert all((other >= best).all() for other in others)


def test_a_label_that_is_not_a_number_reaches_the_loss() -> None:
    assert torch.isnan(HEAD.row_losses(logits(0.0, 0.0, 1.0), torch.tensor([[float("nan")]]))).all()
