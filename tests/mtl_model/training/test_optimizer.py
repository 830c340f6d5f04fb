import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mtl_model.config import TrainingConfig
from mtl_model.layers.embedding import FusedEmbedding
from mtl_model.training.optimizer import (
    EPS,
    LARGE_TABLE_ROWS,
    AdamWWithSparseRows,
    build_optimizer,
    clip_gradients,
    learning_rate_at,
    set_learning_rate,
)

TRAINING = TrainingConfig(
    num_processes=1,
    global_batch_size=8,
    epochs=1,
    learning_rate=1.0,
    final_learning_rate=0.2,
    warmup_steps=4,
    weight_decay=0.1,
    embedding_weight_decay=0.0,
    seed=0,
)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(0, 0.25, id="first step"),
        pytest.param(3, 1.0, id="warm"),
        pytest.param(4, 1.0, id="top"),
        pytest.param(12, 0.6, id="half way down"),
        pytest.param(20, 0.2, id="end"),
        pytest.param(99, 0.2, id="final pass"),
    ],
)
def test_the_rate_warms_up_then_falls(step: int, expected: float) -> None:
    assert learning_rate_at(step, total_steps=20, training=TRAINING) == pytest.approx(expected)


def test_embeddings_have_their_own_weight_decay() -> None:
    model = torch.nn.ModuleDict({"embedding": FusedEmbedding([3], [2]), "tower": torch.nn.Linear(2, 1)})

    groups = build_optimizer(model, TRAINING).param_groups

    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 2), (0.0, 1)]


ROWWISE = TrainingConfig.model_validate(
    TRAINING.model_dump() | {"embedding_optimizer": "rowwise_adagrad", "embedding_learning_rate": 0.5}
)


def sparse_embedding(num_rows: int, dim: int, copies: int = 1) -> tuple[torch.Tensor, AdamWWithSparseRows]:
    torch.manual_seed(0)
    embedding = FusedEmbedding([num_rows], [dim], [copies], sparse_gradients=True)
    optimizer = build_optimizer(torch.nn.ModuleDict({"embedding": embedding}), ROWWISE)
    (table,) = embedding.tables.values()
    return table, optimizer


def step_rows(optimizer: AdamWWithSparseRows, table: Tensor, ids: list[int], rows: Tensor) -> None:
    table.grad = torch.sparse_coo_tensor(
        torch.tensor([ids]), rows, table.shape, check_invariants=True
    ).coalesce()
    optimizer.step()


def test_a_row_moves_by_its_gradient_over_the_root_of_its_mean_squares() -> None:
    table, optimizer = sparse_embedding(num_rows=3, dim=2)
    before = table.detach().clone()

    step_rows(optimizer, table, [2], torch.tensor([[3.0, 1.0]]))  # s = (9 + 1) / 2 = 5
    step_rows(optimizer, table, [2], torch.tensor([[2.0, 0.0]]))  # s = 5 + 4 / 2 = 7

    moved = 0.5 * np.array([3.0 / 5**0.5 + 2.0 / 7**0.5, 1.0 / 5**0.5])
    assert (before[2] - table[2]).tolist() == pytest.approx(moved.tolist(), rel=1e-5)
    assert torch.equal(table[:2], before[:2])
    assert table.grad is None


BATCHES = st.lists(
    st.dictionaries(st.integers(0, 5), st.lists(st.integers(-20, 20), min_size=3, max_size=3)), max_size=6
)  # of each the gradients of its rows, in tenths


@given(batches=BATCHES)
def test_rows_of_any_batches_are_those_of_a_dense_rowwise_adagrad(
    batches: list[dict[int, list[int]]],
) -> None:
    table, optimizer = sparse_embedding(num_rows=6, dim=3)
    expected, sums = table.detach().double().numpy().copy(), np.zeros((6, 1))

    for tenths in batches:
        ids, gradient = sorted(tenths), torch.zeros(6, 3)
        for row in ids:
            gradient[row] = torch.tensor(tenths[row]) / 10
        sums += (gradient.double().numpy() ** 2).mean(axis=1, keepdims=True)
        expected -= 0.5 * gradient.numpy() / (np.sqrt(sums) + EPS)
        step_rows(optimizer, table, ids, gradient[ids])

    np.testing.assert_allclose(table.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_each_copy_of_an_id_has_a_step_size_of_its_own() -> None:
    alone, alone_optimizer = sparse_embedding(num_rows=2, dim=2)
    table, optimizer = sparse_embedding(num_rows=2, dim=2, copies=3)
    before, alone_before = table.detach().clone(), alone.detach().clone()
    rows = torch.tensor([[1.0, 2.0]])

    step_rows(alone_optimizer, alone, [1], rows)
    step_rows(optimizer, table, [1], torch.cat([rows, 100 * rows, 0 * rows], dim=1))

    expected = (alone - alone_before)[1].tolist()
    moved = (table - before)[1].tolist()
    assert moved == pytest.approx([*expected, *expected, 0.0, 0.0], rel=1e-5)


def test_the_rate_of_the_rows_follows_the_same_curve() -> None:
    _, optimizer = sparse_embedding(num_rows=2, dim=2)

    set_learning_rate(optimizer, 0.3 * TRAINING.learning_rate)

    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3 * 0.5])


def test_sparse_gradients_are_clipped_as_if_they_were_dense() -> None:
    dense, tower = torch.nn.Parameter(torch.zeros(5, 2)), torch.nn.Parameter(torch.zeros(3))
    table, tower_beside = torch.nn.Parameter(torch.zeros(5, 2)), torch.nn.Parameter(torch.zeros(3))
    rows = torch.tensor([[3.0, 1.0], [2.0, 4.0]])
    table.grad = torch.sparse_coo_tensor(
        torch.tensor([[1, 4]]), rows, (5, 2), check_invariants=True
    ).coalesce()
    dense.grad = table.grad.to_dense()
    tower.grad, tower_beside.grad = torch.arange(3.0), torch.arange(3.0)

    torch.nn.utils.clip_grad_norm_([dense, tower], 2.0)
    clip_gradients([table, tower_beside], 2.0)

    assert torch.equal(tower_beside.grad, tower.grad)
    assert torch.equal(table.grad.to_dense(), dense.grad)


def test_a_large_table_with_dense_steps_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    model = torch.nn.ModuleDict({"embedding": FusedEmbedding([LARGE_TABLE_ROWS, 3], [1, 2])})

    with caplog.at_level(logging.WARNING):
        build_optimizer(model, TRAINING)

    assert [record.getMessage() for record in caplog.records] == [
        f"every step goes over all {LARGE_TABLE_ROWS} rows of the embedding table 1: "
        "training.embedding_optimizer: rowwise_adagrad touches those of the batch alone"
    ]


@pytest.mark.parametrize("training", [TRAINING, ROWWISE], ids=["adamw", "rowwise_adagrad"])
def test_rows_keep_their_past_where_a_table_grows_and_new_ones_have_none(training: TrainingConfig) -> None:
    is_sparse = training.embedding_optimizer == "rowwise_adagrad"
    embedding = FusedEmbedding([3, 4, 3], [2, 2, 5], [1, 2, 1], is_sparse)
    optimizer = build_optimizer(nn.ModuleDict({"embedding": embedding}), training)

    def step(ids: list[int]) -> None:
        torch.autograd.backward(sum(rows.square().sum() for rows in embedding(torch.tensor([ids]))))
        for table in embedding.parameters():
            table.grad = table.grad.coalesce() if is_sparse and table.grad is not None else table.grad
        optimizer.step()
        optimizer.zero_grad()

    step([2, 3, 1])
    before = {name: table.detach().clone() for name, table in embedding.tables.items()}
    pasts = {name: dict(optimizer.state[table]) for name, table in embedding.tables.items()}
    growths = embedding.grow([5, 4, 4], like=1)
    for growth in growths:
        optimizer.follow(growth)

    assert [growth.after for growth in growths] == [[5], [4]]
    for name, kept in {"2": 3, "5": 3, "2x2": 4}.items():
        table = embedding.tables[name]
        assert torch.equal(table[:kept], before[name])
        assert all(torch.equal(row, before[name][1]) for row in table[kept:])
        for key, past in pasts[name].items():
            now = optimizer.state[table][key]
            assert torch.equal(now[:kept] if past.dim() else now, past)
            assert not past.dim() or not now[kept:].any()
    assert [len(group["params"]) for group in optimizer.param_groups] == [3]
    assert len(optimizer.state) == 3
    step([4, 3, 3])
    assert not torch.equal(embedding.tables["2"][4], before["2"][1])
