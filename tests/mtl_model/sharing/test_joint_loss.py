"""The joint model with every way of sharing: losses, gradients, ranks."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Batch, Encoder
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies
from mtl_model.training.losses import count_divisors, joint_loss
from tests.mtl_model.sharing.build_sharing import SETTINGS
from tests.mtl_model.training.test_train import SEVERAL, torchrun

MakeSpec = Callable[[str], TrainSpec]
STEPS_ON_RANKS = Path(__file__).parents[1] / "training" / "steps_on_ranks.py"


class Setting:
    """A fresh model and the examples of one file."""

    def __init__(self, spec: TrainSpec) -> None:
        self.tasks = spec.model.tasks
        self.encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
        self.model = build_model(spec.model, self.encoder)
        self.batch = self.encoder.encode(pq.read_table(spec.train_files[0]))

    def loss(self, batch: Batch, divisors: Tensor | None = None) -> Tensor:
        if divisors is None:
            divisors = count_divisors(batch.masks.sum(dim=0), world_size=1)
        logits = self.model(batch.ids, batch.numbers)
        slices = self.encoder.label_slices
        loss = joint_loss(self.model, self.tasks, slices, logits, batch, divisors, step=1)
        return torch.stack(loss.task_losses).sum() + loss.penalty


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("num_rows", [0, 1, 50])
def test_every_weight_gets_a_finite_gradient(make_funnel_spec: MakeSpec, kind: str, num_rows: int) -> None:
    setting = Setting(make_funnel_spec(kind))

    torch.autograd.backward(setting.loss(setting.batch.take(slice(num_rows))))

    for name, weight in setting.model.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


@pytest.mark.parametrize("kind", SETTINGS)
def test_bf16_trains_close_to_fp32_and_judges_as_it(make_funnel_spec: MakeSpec, kind: str) -> None:
    setting = Setting(make_funnel_spec(kind))
    model, batch = setting.model, setting.batch
    exact = setting.loss(batch)
    judged = model.eval()(batch.ids, batch.numbers)

    model.train().precision = "bf16"
    rounded = setting.loss(batch)
    torch.autograd.backward(rounded)

    assert exact != rounded
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.0)
    for weight in model.parameters():
        assert weight.grad is not None
        assert weight.dtype == weight.grad.dtype == torch.float32
    model.eval()
    for task, logits in model(batch.ids, batch.numbers).items():
        assert torch.equal(logits, judged[task]), task


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_ranks_mean_is_the_loss_of_the_global_batch(make_funnel_spec: MakeSpec, kind: str) -> None:
    setting = Setting(make_funnel_spec(kind))
    shares = [setting.batch.take(slice(0, 13)), setting.batch.take(slice(13, None))]
    divisors = count_divisors(setting.batch.masks.sum(dim=0), world_size=2)

    ranks = [setting.loss(share, divisors) for share in shares]

    torch.testing.assert_close(torch.stack(ranks).mean(), setting.loss(setting.batch))


@pytest.mark.parametrize("kind", SETTINGS)
def test_rows_without_any_label_cost_the_penalty_alone(make_funnel_spec: MakeSpec, kind: str) -> None:
    setting = Setting(make_funnel_spec(kind))
    unlabelled = setting.batch._replace(masks=torch.zeros_like(setting.batch.masks))

    loss = setting.loss(unlabelled)

    torch.testing.assert_close(loss, torch.as_tensor(setting.model.penalty(), dtype=torch.float32))


def test_esmm_trains_click_and_what_follows_on_all_rows(make_funnel_spec: MakeSpec) -> None:
    setting = Setting(make_funnel_spec("esmm"))
    batch = setting.batch
    hidden = setting.model.sharing(torch.cat([*setting.model.embedding(batch.ids), batch.numbers], dim=1))
    factors = {
        task: setting.model.heads[task](setting.model.towers[task](rows))[:, 0].sigmoid()
        for task, rows in hidden.items()
    }

    loss = setting.loss(batch._replace(masks=batch.masks * torch.tensor([1.0, 1.0, 1.0, 0.0])))

    rows = batch.masks[:, 0].bool()
    click, cart, buy = (factors[task][rows] for task in ("click", "cart", "buy"))
    expected = torch.zeros(())
    for column, (weight, probabilities) in enumerate(
        [(1.0, click), (0.5, click * cart), (2.0, click * cart * buy)]
    ):
        labels = batch.labels[rows, column]
        expected = expected + weight * F.binary_cross_entropy(probabilities, labels)
    torch.testing.assert_close(loss, expected)


def test_single_task_twins_have_no_weight_in_common(make_funnel_spec: MakeSpec) -> None:
    setting = Setting(make_funnel_spec("single_task"))
    readers = {name: torch.zeros_like(weight) for name, weight in setting.model.named_parameters()}

    for task in setting.tasks:
        setting.model.zero_grad()
        logits = setting.model(setting.batch.ids, setting.batch.numbers)[task.name]
        torch.autograd.backward((logits * torch.randn_like(logits)).sum())
        for name, weight in setting.model.named_parameters():
            if weight.grad is not None:
                readers[name] += weight.grad != 0

    assert {int(count.max()) for count in readers.values()} == {1}


@pytest.mark.parametrize("counts", SEVERAL, ids=str)
def test_several_processes_take_the_steps_of_one(
    make_funnel_spec: MakeSpec, tmp_path: Path, counts: tuple[int, ...]
) -> None:
    """All ways of sharing, in one launch for each number of processes."""
    specs = [tmp_path / f"{kind}.json" for kind in SETTINGS]
    for path in specs:
        path.write_text(make_funnel_spec(path.stem).model_dump_json())

    for count in (1, *counts):
        output = tmp_path / str(count)
        output.mkdir()
        completed = torchrun(count, STEPS_ON_RANKS, output, *specs)
        assert completed.returncode == 0, completed.stderr

    for kind in SETTINGS:
        alone, *others = (load_file(tmp_path / str(count) / f"{kind}.safetensors") for count in (1, *counts))
        for several in others:
            torch.testing.assert_close(several, alone, rtol=1e-4, atol=1e-5, msg=kind)
