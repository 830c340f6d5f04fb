import math

import pytest
import torch

from mtl_model.heads.binary import BinaryHead


def test_the_loss_is_the_cross_entropy_of_each_row() -> None:
    head = BinaryHead(2)

    losses = head.row_losses(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [0.0]]))

    torch.testing.assert_close(losses, torch.tensor([math.log(2), math.log(1 + math.exp(2))]))


@pytest.mark.parametrize("kept", [1.0, 0.5, 0.1])
def test_the_probability_is_corrected_for_sampled_negatives(kept: float) -> None:
    true_probability = 0.2
    sampled = true_probability / (true_probability + (1 - true_probability) * kept)
    logit = math.log(sampled / (1 - sampled))

    probabilities = BinaryHead(2).predict(torch.tensor([[logit]]), math.log(kept))

    torch.testing.assert_close(probabilities, torch.tensor([true_probability]))
