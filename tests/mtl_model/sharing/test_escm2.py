import math

import pytest
import torch
from torch import Tensor

from mtl_model.sharing.escm2 import ESCM2
from tests.mtl_model.sharing.build_sharing import build_sharing, make_inputs

WEIGHT = 0.5  # counterfactual_weight
CLICKED = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
BOUGHT = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
OBSERVED = torch.ones(4)


def build(estimator: str) -> ESCM2:
    escm2: ESCM2 = build_sharing(f"escm2_{estimator}", tasks=["click", "buy"], parents={"buy": "click"})
    return escm2


def row_losses(
    escm2: ESCM2, click: Tensor, buy: Tensor, imputed: Tensor, clicks_observed: Tensor = OBSERVED
) -> Tensor:
    """The extra losses of "buy" for the heads' logits (4, 1) of both tasks."""
    hidden = {"buy.imputed": imputed} if escm2.imputation else {}
    logits = escm2.join_logits(hidden, {"click": click, "buy": buy})
    extra = escm2.extra_row_losses(
        logits, {"click": CLICKED, "buy": BOUGHT}, {"click": clicks_observed, "buy": OBSERVED}
    )
    assert extra.keys() == {"buy"}
    return extra["buy"]


def test_ipw_weighs_the_clicked_rows_by_their_propensity() -> None:
    click, buy = torch.full((4, 1), math.log(1 / 3)), torch.full((4, 1), math.log(4))  # p = 1/4, r = 4/5

    losses = row_losses(build("ipw"), click, buy, torch.zeros(4))

    expected = [-math.log(0.8) / 0.25, -math.log(0.2) / 0.25, 0.0, 0.0]
    torch.testing.assert_close(losses, WEIGHT * torch.tensor(expected))


def test_dr_corrects_the_imputed_loss_where_it_is_seen() -> None:
    click, buy = torch.full((4, 1), math.log(1 / 3)), torch.full((4, 1), math.log(4))
    imputed = torch.tensor([0.3, 0.4, 0.5, 0.6])

    losses = row_losses(build("dr"), click, buy, imputed)

    errors = [-math.log(0.8) - 0.3, -math.log(0.2) - 0.4]
    seen = [0.3 + errors[0] / 0.25 + errors[0] ** 2 / 0.25, 0.4 + errors[1] / 0.25 + errors[1] ** 2 / 0.25]
    torch.testing.assert_close(losses, WEIGHT * torch.tensor([*seen, 0.5, 0.6]))


@pytest.mark.parametrize("estimator", ["ipw", "dr"])
def test_the_risk_does_not_move_the_propensity(estimator: str) -> None:
    click, buy = torch.randn(4, 1, requires_grad=True), torch.randn(4, 1, requires_grad=True)
    imputed = torch.rand(4, requires_grad=True)

    losses = row_losses(build(estimator), click, buy, imputed)

    of_click, of_buy = torch.autograd.grad(losses.sum(), [click, buy], allow_unused=True)
    assert of_click is None
    assert (of_buy[:2].abs() > 0).all()
    assert (of_buy[2:] == 0).all()


def test_the_imputation_learns_the_loss_and_not_the_loss_the_imputation() -> None:
    """Of d + o (l - d) / p + o (l - d)^2 / p: only the first two terms reach the conversion's logit."""
    click, buy = torch.zeros(4, 1), torch.full((4, 1), 0.7, requires_grad=True)
    imputed = torch.full((4,), 0.4, requires_grad=True)

    losses = row_losses(build("dr"), click, buy, imputed)
    of_buy, of_imputed = torch.autograd.grad(losses.sum(), [buy, imputed])

    r = 1 / (1 + math.exp(-0.7))
    torch.testing.assert_close(of_buy[:2, 0], WEIGHT * 2 * torch.tensor([r - 1, r]))
    errors = torch.tensor([-math.log(r) - 0.4, -math.log(1 - r) - 0.4])
    torch.testing.assert_close(of_imputed[:2], WEIGHT * (1 - 2 - 2 * 2 * errors))
    torch.testing.assert_close(of_imputed[2:], WEIGHT * torch.ones(2))


def test_the_propensity_is_clipped() -> None:
    losses = row_losses(build("ipw"), torch.full((4, 1), -50.0), torch.zeros(4, 1), torch.zeros(4))

    torch.testing.assert_close(losses[:2], torch.full((2,), WEIGHT * math.log(2) / 0.05))


def test_rows_whose_click_was_not_observed_add_nothing() -> None:
    clicks_observed = torch.tensor([1.0, 0.0, 1.0, 0.0])

    losses = row_losses(build("dr"), torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(4), clicks_observed)

    assert (losses != 0).tolist() == [True, False, True, False]


def test_the_imputed_losses_are_a_tower_of_their_own() -> None:
    escm2 = build("dr")

    hidden = escm2(make_inputs("escm2_dr", 1))

    assert hidden["buy.imputed"].shape == (1,)
    assert (hidden["buy.imputed"] > 0).all()
    torch.autograd.backward(hidden["buy.imputed"].sum())
    reached = {name.split(".")[0] for name, weight in escm2.named_parameters() if weight.grad is not None}
    assert reached == {"imputation"}
