import math

import pytest
import torch

from mtl_model.heads.ordinal import OrdinalHead

LOGITS = torch.tensor([[math.log(4), 0.0, -math.log(4)]])  # P(y > 0) = 0.8, P(y > 1) = 0.5, P(y > 2) = 0.2


@pytest.mark.parametrize(
    ("level", "likelihood"),
    [(0.0, 0.2 * 0.5 * 0.8), (1.0, 0.8 * 0.5 * 0.8), (2.0, 0.8 * 0.5 * 0.8), (3.0, 0.8 * 0.5 * 0.2)],
)
def test_the_loss_is_the_cross_entropy_of_all_thresholds(level: float, likelihood: float) -> None:
    losses = OrdinalHead(2, num_classes=4).row_losses(LOGITS, torch.tensor([[level]]))

    torch.testing.assert_close(losses, torch.tensor([-math.log(likelihood)]))


def test_the_prediction_is_the_expected_level() -> None:
    torch.testing.assert_close(OrdinalHead(2, num_classes=4).predict(LOGITS, 0.0), torch.tensor([1.5]))


def test_thresholds_share_their_weights_and_start_with_equally_frequent_levels() -> None:
    head = OrdinalHead(2, num_classes=5)

    logits = head(torch.stack([torch.zeros(2), torch.randn(2)]))

    torch.testing.assert_close(logits[0].sigmoid(), torch.tensor([0.8, 0.6, 0.4, 0.2]))
    differences = logits[1] - logits[0]
    torch.testing.assert_close(differences, differences[:1].expand(4))
