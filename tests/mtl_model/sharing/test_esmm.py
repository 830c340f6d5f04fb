import math

import pytest
import torch

from mtl_model.sharing.esmm import product_logit
from tests.mtl_model.sharing.build_sharing import build_sharing


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.0), (-3.0, 1.0), (2.0, -5.0), (8.0, 9.0)])
def test_the_product_of_two_probabilities(first: float, second: float) -> None:
    p = 1 / (1 + math.exp(-first)) / (1 + math.exp(-second))

    logit = product_logit(torch.tensor([[first]]), torch.tensor([[second]]))

    torch.testing.assert_close(logit, torch.tensor([[math.log(p) - math.log1p(-p)]]))


@pytest.mark.parametrize("first", [-500.0, 0.0, 500.0])
@pytest.mark.parametrize("second", [-500.0, 0.0, 500.0])
def test_the_product_stays_finite_where_probabilities_are_0_or_1(first: float, second: float) -> None:
    logits = torch.tensor([first, second], requires_grad=True)

    logit = product_logit(logits[0], logits[1])
    (gradient,) = torch.autograd.grad(logit, logits)

    assert torch.isfinite(logit)
    assert torch.isfinite(gradient).all()
    assert logit <= min(first, second)


def test_probabilities_multiply_along_the_funnel() -> None:
    heads = {task: torch.randn(4, 1) for task in ("click", "cart", "buy")}

    joined = build_sharing("esmm").join_logits({}, heads)

    click, cart, buy = (heads[task].sigmoid() for task in ("click", "cart", "buy"))
    torch.testing.assert_close(joined["click"].sigmoid(), click)
    torch.testing.assert_close(joined["cart"].sigmoid(), click * cart)
    torch.testing.assert_close(joined["buy"].sigmoid(), click * cart * buy)


def test_the_loss_of_a_dependent_task_reaches_both_factors() -> None:
    heads = {task: torch.zeros(1, 1, requires_grad=True) for task in ("click", "cart", "buy")}

    joined = build_sharing("esmm").join_logits({}, heads)
    torch.autograd.backward(joined["cart"].sum())

    assert [heads[task].grad is not None for task in ("click", "cart", "buy")] == [True, True, False]
