import math

import torch

from mtl_model.heads.multiclass import MulticlassHead

HEAD = MulticlassHead(2, num_classes=3)
LOGITS = torch.tensor([[math.log(2), math.log(5), math.log(3)]])


def test_the_loss_is_the_cross_entropy_of_the_label() -> None:
    losses = HEAD.row_losses(LOGITS.expand(2, 3), torch.tensor([[1.0], [2.0]]))

    torch.testing.assert_close(losses, -torch.log(torch.tensor([0.5, 0.3])))


def test_each_class_has_a_probability() -> None:
    torch.testing.assert_close(HEAD.predict(LOGITS, 0.0), torch.tensor([[0.2, 0.5, 0.3]]))
    assert HEAD(torch.randn(1, 2)).shape == (1, 3)
