import math
from typing import Any

import torch
from torch import Tensor

from tests.mtl_model.sharing.build_sharing import build_sharing, make_inputs, plain_mlp


def transfer(module: Any, parent: Tensor, own: Tensor) -> Tensor:
    """The paper's AIT module, source by source."""
    value, key, query = module.projections.weight.chunk(3)
    value_bias, key_bias, query_bias = module.projections.bias.chunk(3)
    sources = [module.passed_on(parent), own]
    scores = [
        ((source @ key.T + key_bias) * (source @ query.T + query_bias)).sum(dim=1) / math.sqrt(own.shape[1])
        for source in sources
    ]
    shares = torch.stack(scores, dim=1).softmax(dim=1)
    values = [source @ value.T + value_bias for source in sources]
    mixture: Tensor = shares[:, :1] * values[0] + shares[:, 1:] * values[1]
    return mixture


def test_information_is_handed_down_the_funnel() -> None:
    aitm = build_sharing("aitm")
    inputs = make_inputs("aitm", 5)

    hidden = aitm(inputs)

    click, cart, buy = (plain_mlp(aitm.bottoms, position)(inputs) for position in range(3))
    cart = transfer(aitm.transfers["cart"], click, cart)
    torch.testing.assert_close(hidden["click"], click)
    torch.testing.assert_close(hidden["cart"], cart)
    torch.testing.assert_close(hidden["buy"], transfer(aitm.transfers["buy"], cart, buy))


def test_the_calibrator_costs_what_a_task_exceeds_the_one_before() -> None:
    probabilities = {"click": [0.5, 0.5, 0.5], "cart": [0.25, 0.8, 0.8], "buy": [0.75, 0.9, 0.9]}
    logits = {task: torch.logit(torch.tensor(rows))[:, None] for task, rows in probabilities.items()}
    masks = {"click": torch.tensor([1.0, 1.0, 0.0]), "cart": torch.ones(3), "buy": torch.ones(3)}

    extra = build_sharing("aitm").extra_row_losses(logits, {}, masks)

    assert extra.keys() == {"cart", "buy"}
    torch.testing.assert_close(extra["cart"], 0.5 * torch.tensor([0.0, 0.3, 0.0]))
    torch.testing.assert_close(extra["buy"], 0.5 * torch.tensor([0.5, 0.1, 0.1]))


def test_the_calibrator_moves_both_tasks() -> None:
    logits = {"click": torch.zeros(1, 1), "cart": torch.ones(1, 1), "buy": torch.full((1, 1), -1.0)}
    logits = {task: rows.requires_grad_() for task, rows in logits.items()}

    extra = build_sharing("aitm").extra_row_losses(logits, {}, dict.fromkeys(logits, torch.ones(1)))
    click, cart, buy = torch.autograd.grad((extra["cart"] + extra["buy"]).sum(), list(logits.values()))

    assert click < 0 < cart
    assert buy == 0
