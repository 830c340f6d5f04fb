"""Rules that hold for every way of sharing."""

import pytest
import torch

from mtl_model.layers.parallel_mlps import ParallelMLPs
from tests.mtl_model.sharing.build_sharing import (
    OUTPUT_DIM,
    SETTINGS,
    TASKS,
    build_sharing,
    make_inputs,
)

OWN = {task: {position} for position, task in enumerate(TASKS)}
OWN_AND_PARENTS = {"click": {0}, "cart": {0, 1}, "buy": {0, 1, 2}}
OWN_AND_SHARED_EXPERTS = {"click": {0, 1, 6, 7}, "cart": {2, 3, 6, 7}, "buy": {4, 5, 6, 7}}
# Two experts per task, one for click and cart, one for buy, two shared.
OF_HOME = {"click": {0, 1, 6, 8, 9}, "cart": {2, 3, 6, 8, 9}, "buy": {4, 5, 7, 8, 9}}


def all_of(num_parts: int) -> dict[str, set[int]]:
    return {task: set(range(num_parts)) for task in TASKS}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("num_rows", [0, 1, 7])
def test_every_task_gets_a_hidden_row_per_row(kind: str, num_rows: int) -> None:
    sharing = build_sharing(kind)

    hidden = sharing(make_inputs(kind, num_rows))

    assert {task: tuple(hidden[task].shape) for task in TASKS} == dict.fromkeys(TASKS, (num_rows, OUTPUT_DIM))
    assert sharing.output_dim == OUTPUT_DIM


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_row_has_the_same_hidden_alone_and_among_others(kind: str) -> None:
    sharing = build_sharing(kind)
    inputs = make_inputs(kind, 7)

    together, alone = sharing(inputs), sharing(inputs[..., 2:3, :])

    for task in TASKS:
        torch.testing.assert_close(alone[task], together[task][2:3])


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_tasks_together_reach_every_weight(kind: str) -> None:
    sharing = build_sharing(kind)
    hidden = sharing(make_inputs(kind, 32))

    torch.autograd.backward(
        torch.stack([(rows * torch.randn_like(rows)).sum() for rows in hidden.values()]).sum()
    )

    for name, weight in sharing.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 1e-3, name


@pytest.mark.parametrize("kind", SETTINGS)
def test_parallel_mlps_differ_from_the_start(kind: str) -> None:
    for module in build_sharing(kind).modules():
        if isinstance(module, ParallelMLPs):
            outputs = module(torch.randn(5, module.first.in_features, dtype=torch.float64))
            for first in range(module.num_mlps):
                for second in range(first):
                    assert not torch.allclose(outputs[first], outputs[second])


@pytest.mark.parametrize("kind", sorted(SETTINGS.keys() - {"shared_bottom", "task_relationship", "omoe"}))
def test_tasks_differ_from_the_start(kind: str) -> None:
    hidden = build_sharing(kind)(make_inputs(kind, 5))

    assert not torch.allclose(hidden["click"], hidden["buy"])


@pytest.mark.parametrize(
    ("kind", "weights", "num_parts", "reached"),
    [
        ("single_task", "bottoms", 3, OWN),
        ("shared_bottom", "bottom", 1, all_of(1)),
        ("l2_tied", "bottoms", 3, OWN),
        ("cross_stitch", "layers", 3, all_of(3)),
        ("cross_stitch", "stitches.1", 3, OWN),
        ("task_embedding", "layers", 1, all_of(1)),
        ("task_embedding", "embeddings", 3, OWN),
        ("omoe", "experts", 3, all_of(3)),
        ("mmoe", "experts", 3, all_of(3)),
        ("mmoe", "gates", 3, OWN),
        ("cgc", "levels.0.experts", 8, OWN_AND_SHARED_EXPERTS),
        ("cgc", "levels.0.task_gates", 3, OWN),
        ("ple", "levels.1.experts", 8, OWN_AND_SHARED_EXPERTS),
        ("ple", "levels.1.task_gates", 3, OWN),
        ("ple", "levels.0.experts", 8, all_of(8)),
        ("home", "second.experts", 10, OF_HOME),
        ("home", "second.gates", 3, OWN),
        ("home", "groups.experts", 4, all_of(4)),
        ("stem", "experts", 8, OWN_AND_SHARED_EXPERTS),
        ("stem", "gates", 3, OWN),
        ("esmm", "bottoms", 3, OWN),
        ("escm2_dr", "bottoms", 3, OWN),
        ("escm2_dr", "imputation", 1, all_of(0)),
        ("aitm", "bottoms", 3, OWN_AND_PARENTS),
        ("resflow", "layers", 3, OWN_AND_PARENTS),
    ],
)
def test_a_task_reaches_its_own_weights_and_the_shared_ones(
    kind: str, weights: str, num_parts: int, reached: dict[str, set[int]]
) -> None:
    sharing = build_sharing(kind)
    inputs = make_inputs(kind, 32)

    for task in TASKS:
        sharing.zero_grad()
        hidden = sharing(inputs)[task]
        torch.autograd.backward((hidden * torch.randn_like(hidden)).sum())

        named = {name: weight for name, weight in sharing.named_parameters() if name.startswith(weights)}
        assert named
        for name, weight in named.items():
            grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            parts = {part for part, share in enumerate(grad.chunk(num_parts)) if share.abs().sum() > 1e-9}
            assert parts == reached[task], (task, name)
