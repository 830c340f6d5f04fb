import math

import torch

from mtl_model.heads.multilabel import MultilabelHead


def test_the_loss_is_the_mean_cross_entropy_over_the_labels() -> None:
    head = MultilabelHead(4, num_labels=2)

    losses = head.row_losses(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 1.0]]))

    torch.testing.assert_close(losses, torch.tensor([(math.log(2) + math.log(1 + math.exp(-2))) / 2]))


def test_each_label_has_a_probability_of_its_own() -> None:
    head = MultilabelHead(4, num_labels=3)

    assert head(torch.randn(1, 4)).shape == (1, 3)
    torch.testing.assert_close(
        head.predict(torch.tensor([[0.0, math.log(3), -math.log(3)]]), 0.0), torch.tensor([[0.5, 0.75, 0.25]])
    )
