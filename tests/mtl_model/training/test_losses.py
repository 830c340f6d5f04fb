from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Batch, Encoder
from mtl_model.model import JointModel, build_model
from mtl_model.model_folder import read_vocabularies
from mtl_model.training.losses import JointLoss, count_divisors, joint_loss


class Setting:
    """A fresh model and the examples of one file."""

    def __init__(self, spec: TrainSpec) -> None:
        self.tasks = spec.model.tasks
        self.encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
        self.model: JointModel = build_model(spec.model, self.encoder)
        self.table: pa.Table = pq.read_table(spec.train_files[0])

    def loss(self, batch: Batch, divisors: torch.Tensor | None = None) -> JointLoss:
        logits = self.model(batch.ids, batch.numbers)
        if divisors is None:
            divisors = count_divisors(batch.masks.sum(dim=0), world_size=1)
        return joint_loss(self.model, self.tasks, self.encoder.label_slices, logits, batch, divisors, step=5)


@pytest.fixture
def setting(make_spec: Callable[..., TrainSpec]) -> Setting:
    return Setting(make_spec(num_rows=200))


def test_each_task_is_the_mean_over_its_labelled_rows(setting: Setting) -> None:
    batch = setting.encoder.encode(setting.table)

    expected = torch.zeros(())
    for position, task in enumerate(setting.tasks):
        rows = batch.take(batch.masks[:, position].bool())
        logits = setting.model(rows.ids, rows.numbers)[task.name]
        labels = rows.labels[:, setting.encoder.label_slices[task.name]]
        expected = (
            expected + task.loss_weight * setting.model.head(task.name).row_losses(logits, labels).mean()
        )

    torch.testing.assert_close(sum(setting.loss(batch).task_losses), expected)


def test_a_task_without_a_label_adds_nothing_and_keeps_its_gradient(setting: Setting) -> None:
    item_rows = setting.table.filter(setting.table.column("label_purchase").is_valid())
    batch = setting.encoder.encode(item_rows)

    loss = setting.loss(batch)
    torch.autograd.backward(torch.stack(loss.task_losses).sum())

    assert loss.task_sums[2:].tolist() == [0.0, 0.0]
    coupon = setting.model.head("coupon").linear.weight.grad
    purchase = setting.model.head("purchase").linear.weight.grad
    assert coupon is not None
    assert coupon.abs().sum() == 0
    assert purchase is not None
    assert purchase.abs().sum() > 0


def test_the_ranks_mean_is_the_loss_of_the_global_batch(setting: Setting) -> None:
    batch = setting.encoder.encode(setting.table)
    shares = [batch.take(slice(0, 13)), batch.take(slice(13, None))]
    divisors = count_divisors(batch.masks.sum(dim=0), world_size=2)

    ranks = [torch.stack(setting.loss(share, divisors).task_losses) for share in shares]

    torch.testing.assert_close(sum(ranks) / 2, torch.stack(setting.loss(batch).task_losses))


def test_a_loss_that_is_not_finite_names_task_and_examples(setting: Setting) -> None:
    batch = setting.encoder.encode(setting.table)
    batch.labels[7, 0], batch.masks[7, 0] = float("nan"), 1.0

    with pytest.raises(
        ValueError, match=r"purchase is not finite in step 5, in 1 of 100 rows, .* example_id \[7\]"
    ):
        setting.loss(batch)
