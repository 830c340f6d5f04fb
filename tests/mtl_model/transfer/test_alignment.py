import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from mtl_model.transfer.coral import coral
from mtl_model.transfer.mmd import WIDTH_FACTORS, mmd

Distance = Callable[[Tensor, Tensor], Tensor]
Rows = npt.NDArray[np.float64]


def mmd_by_loops(source: Rows, target: Rows) -> float:
    rows = [*source, *target]
    pairs = [float(np.sum((x - y) ** 2)) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
    width = sum(pairs) / len(pairs)

    def kernel(x: Rows, y: Rows) -> float:
        distance = float(np.sum((x - y) ** 2))
        return sum(math.exp(-distance / (factor * width)) for factor in WIDTH_FACTORS) / len(WIDTH_FACTORS)

    def mean(first: Rows, second: Rows) -> float:
        return sum(kernel(x, y) for x in first for y in second) / len(first) / len(second)

    return mean(source, source) + mean(target, target) - 2 * mean(source, target)


def test_mmd_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(5, 3)), rng.normal(loc=0.5, size=(4, 3))

    found = mmd(torch.from_numpy(source), torch.from_numpy(target)).item()

    assert found == pytest.approx(mmd_by_loops(source, target), abs=1e-12)


def test_coral_is_that_of_the_covariances() -> None:
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(6, 3)), 2 * rng.normal(size=(5, 3))

    found = coral(torch.from_numpy(source), torch.from_numpy(target)).item()

    difference = np.cov(source, rowvar=False) - np.cov(target, rowvar=False)
    assert found == pytest.approx(np.sum(difference**2) / (4 * 3 * 3), abs=1e-12)
    by_hand = coral(torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [5.0]]))
    assert by_hand.item() == pytest.approx(1.0)  # variances 2 and 0: (2 - 0)^2 / 4


@pytest.mark.parametrize("distance", [mmd, coral])
def test_steps_down_the_gradient_bring_the_domains_together(distance: Distance) -> None:
    generator = torch.Generator().manual_seed(1)
    source = torch.randn(30, 2, generator=generator)
    target = (3 * torch.randn(20, 2, generator=generator) + 1).requires_grad_()
    alike = distance(source, source.clone()).item()

    before = distance(source, target)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(distance(source, target), target)
        target = (target - 3.0 * gradient).detach().requires_grad_()

    assert alike == pytest.approx(0.0, abs=1e-6)
    assert 0 <= distance(source, target).item() < before.item() / 4
