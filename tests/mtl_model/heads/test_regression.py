import torch

from mtl_model.heads.regression import RegressionHead

HEAD = RegressionHead(2)


def test_the_loss_is_the_squared_error_of_each_row() -> None:
    losses = HEAD.row_losses(torch.tensor([[1.5], [-2.0]]), torch.tensor([[1.0], [1.0]]))

    torch.testing.assert_close(losses, torch.tensor([0.25, 9.0]))


def test_the_prediction_is_the_value_itself() -> None:
    torch.testing.assert_close(HEAD.predict(torch.tensor([[1.5], [-2.0]]), 0.0), torch.tensor([1.5, -2.0]))
    assert HEAD(torch.randn(1, 2)).shape == (1, 1)
