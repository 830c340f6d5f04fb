from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from mtl_model.balancing.build_balancer import BALANCERS
from mtl_model.balancing.shared_representation import SharedRepresentation
from mtl_model.balancing.task_balancing import TaskBalancing, inner_products
from mtl_model.balancing.upgrad import UPGrad
from mtl_model.config import ModelConfig, TrainSpec
from mtl_model.data.encode import Batch, Encoder
from mtl_model.model import JointModel, build_model
from mtl_model.model_folder import read_vocabularies
from mtl_model.training.losses import JointLoss, joint_loss
from mtl_model.training.process_group import ProcessGroup

ALONE = ProcessGroup(rank=0, world_size=1, device=torch.device("cpu"))
SHARED_BOTTOM = {"name": "shared_bottom", "hidden_dims": [16, 8]}
MMOE = {"name": "mmoe", "num_experts": 3, "expert_hidden_dims": [16, 8]}


class Setting:
    """A fresh model, its balancing and one batch of 100 rows."""

    def __init__(
        self, spec: TrainSpec, balancing: str, sharing: dict[str, Any], detached: str | None = None
    ) -> None:
        content = spec.model.model_dump() | {"balancing": {"name": balancing}, "sharing": sharing}
        for task in content["tasks"]:
            task["detached"] = task["name"] == detached
        self.config = ModelConfig.model_validate(content)
        self.encoder = Encoder(self.config, spec, read_vocabularies(spec.vocabularies))
        self.model: JointModel = build_model(self.config, self.encoder)
        self.balancing = TaskBalancing(self.model, self.config, ALONE)
        self.batch: Batch = self.encoder.encode(pq.read_table(spec.train_files[0]))
        self.labelled_rows = self.batch.masks.sum(dim=0)

    def loss(self) -> JointLoss:
        logits = self.model(self.batch.ids, self.batch.numbers)
        slices = self.encoder.label_slices
        return joint_loss(
            self.model, self.config.tasks, slices, logits, self.batch, self.labelled_rows, step=1
        )

    def gradients(self) -> dict[str, Tensor]:
        gradients = {}
        for name, parameter in self.model.named_parameters():
            if parameter.grad is None:
                raise ValueError(f"{name} has no gradient")
            gradients[name] = parameter.grad.clone()
        self.model.zero_grad()
        return gradients


@pytest.fixture
def make_setting(make_spec: Callable[..., TrainSpec]) -> Callable[..., Setting]:
    def make(balancing: str, sharing: dict[str, Any] = MMOE, detached: str | None = None) -> Setting:
        return Setting(make_spec(num_rows=200), balancing, sharing, detached)

    return make


@pytest.mark.parametrize("sharing", [SHARED_BOTTOM, MMOE], ids=["shared_bottom", "mmoe"])
def test_fixed_weights_give_the_gradients_of_the_plain_sum_bit_for_bit(
    make_setting: Callable[..., Setting], sharing: dict[str, Any]
) -> None:
    setting = make_setting("fixed", sharing)
    model, batch, tasks = setting.model, setting.batch, setting.config.tasks
    logits = model(batch.ids, batch.numbers)
    rows = [
        model.head(task.name).row_losses(
            logits[task.name], batch.labels[:, setting.encoder.label_slices[task.name]]
        )
        for task in tasks
    ]
    task_sums = (torch.stack(rows, dim=1) * batch.masks).sum(dim=0)
    weights = torch.tensor([task.loss_weight for task in tasks])
    torch.autograd.backward((weights * task_sums / setting.labelled_rows).sum())
    expected = setting.gradients()

    setting.balancing.backward(setting.loss(), setting.labelled_rows, step=1)

    gradients = setting.gradients()
    assert all(torch.equal(gradients[name], expected[name]) for name in expected)


@pytest.mark.parametrize("sharing", [SHARED_BOTTOM, MMOE], ids=["shared_bottom", "mmoe"])
def test_aggregation_weighs_what_is_shared_and_leaves_towers_their_own_loss(
    make_setting: Callable[..., Setting], sharing: dict[str, Any]
) -> None:
    setting = make_setting("upgrad", sharing)
    representation = SharedRepresentation(setting.model, sharing["name"])
    losses = setting.loss().task_losses
    shared = representation.take()
    rows = [
        torch.autograd.grad(loss, shared, retain_graph=True)[0].flatten().double().numpy() for loss in losses
    ]
    weights = UPGrad(4).aggregate(np.stack(rows) @ np.stack(rows).T, step=1)
    torch.autograd.backward(torch.stack(losses).sum(), retain_graph=True)
    of_own_loss = setting.gradients()
    torch.autograd.backward((torch.tensor(weights, dtype=torch.float32) * torch.stack(losses)).sum())
    of_weighted_loss = setting.gradients()

    found = setting.balancing.backward(setting.loss(), setting.labelled_rows, step=1)

    np.testing.assert_allclose(found.numpy(), weights, rtol=1e-4)
    for name, gradient in setting.gradients().items():
        expected = of_own_loss if name.startswith(("towers.", "heads.")) else of_weighted_loss
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-7, msg=name)


@pytest.mark.parametrize("name", ["uncertainty", "gradnorm"])
def test_weighed_losses_are_those_of_the_towers_too(make_setting: Callable[..., Setting], name: str) -> None:
    setting = make_setting(name)
    weights = setting.balancing.backward(setting.loss(), setting.labelled_rows, step=1)
    found = setting.gradients()

    torch.autograd.backward((weights * torch.stack(setting.loss().task_losses)).sum())

    expected = setting.gradients()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("sharing", "name", "shape"),
    [
        pytest.param(SHARED_BOTTOM, "shared_bottom", (100, 8), id="the bottom's output"),
        pytest.param(MMOE, "mmoe", (3, 100, 8), id="the outputs of all experts"),
        pytest.param(MMOE, "another", (100, 3 * 4 + 2), id="else the input of sharing"),
    ],
)
def test_the_shared_representation_is_the_last_tensor_that_all_losses_flow_through(
    make_setting: Callable[..., Setting], sharing: dict[str, Any], name: str, shape: tuple[int, ...]
) -> None:
    setting = make_setting("fixed", sharing)
    representation = SharedRepresentation(setting.model, name)

    losses = setting.loss().task_losses

    tensor = representation.take()
    assert tuple(tensor.shape) == shape
    for loss in losses:
        assert torch.autograd.grad(loss, tensor, retain_graph=True)[0].abs().sum() > 0
    with pytest.raises(ValueError, match="no forward pass with gradients"):
        representation.take()


@pytest.mark.parametrize("balancing", BALANCERS)
def test_a_detached_tasks_loss_weighs_nothing_among_the_others(
    make_setting: Callable[..., Setting], balancing: str
) -> None:
    """However large it is."""
    weights, gradients = [], []
    for factor in (1.0, 1e6):
        setting = make_setting(balancing, detached="spend")
        for step in (1, 2):  # some balancers learn from the first
            loss = setting.loss()
            task_losses = [*loss.task_losses]
            task_losses[1] = factor * task_losses[1]
            task_sums = loss.task_sums * torch.tensor([1.0, factor, 1.0, 1.0])
            loss = loss._replace(task_losses=task_losses, task_sums=task_sums)
            setting.model.zero_grad()
            weights.append(setting.balancing.backward(loss, setting.labelled_rows, step))
            setting.balancing.observe_losses_after(loss, setting.labelled_rows)
        gradients.append(setting.gradients())

    assert all(weight[1] == 1.0 for weight in weights)
    assert torch.equal(torch.stack(weights[:2]), torch.stack(weights[2:]))
    small, large = gradients
    assert (
        large["towers.spend.layers.0.weight"].abs().max() > small["towers.spend.layers.0.weight"].abs().max()
    )
    for name in small:
        if ".spend." not in name:
            assert torch.equal(small[name], large[name]), name


def test_a_loss_below_zero_is_read_as_its_excess_over_the_least_possible(
    make_setting: Callable[..., Setting],
) -> None:
    setting = make_setting("uncertainty")
    loss = setting.loss()
    sums, least = torch.tensor([4.0, -6.0, 0.0, 0.0]), torch.tensor([0.0, -8.0, 0.0, 0.0])
    labelled_rows = torch.tensor([2.0, 4.0, 3.0, 0.0])

    losses = setting.balancing._reduce_losses(loss._replace(task_sums=sums, least_sums=least), labelled_rows)

    # loss weights 1 and 0.5; a perfect loss stays above 0; a task without a labelled row
    np.testing.assert_allclose(losses, [2.0, 0.25, 1e-8, 1.0])


def test_no_loss_is_below_its_least(make_setting: Callable[..., Setting]) -> None:
    loss = make_setting("fixed").loss()

    assert (loss.task_sums > loss.least_sums).all()
    assert (loss.least_sums[[0, 2, 3]] == 0).all()


def test_a_gradient_that_is_not_finite_stops_the_training(make_setting: Callable[..., Setting]) -> None:
    setting = make_setting("mgda")
    loss = setting.loss()
    representation = setting.balancing.representation
    assert representation is not None
    assert representation.tensor is not None
    task_losses = [*loss.task_losses]
    task_losses[1] = (0 * representation.tensor.sum()).sqrt()  # 0, with the gradient 0 * inf

    with pytest.raises(ValueError, match=r"gradients of tasks \['spend'\] are not finite in step 7"):
        setting.balancing.backward(loss._replace(task_losses=task_losses), setting.labelled_rows, step=7)


def test_inner_products_of_many_slices() -> None:
    vectors = torch.randn(3, 20_000, generator=torch.Generator().manual_seed(1))

    found = inner_products(list(vectors))

    torch.testing.assert_close(found, vectors.double() @ vectors.double().T, rtol=1e-6, atol=1e-3)
