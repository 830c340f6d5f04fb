from collections.abc import Callable

import pytest
import torch

from mtl_model.config import TrainSpec
from mtl_model.data import batches as batches_module
from mtl_model.data.arrow_reader import read_shard, shard_rows
from mtl_model.data.batches import count_steps, shuffled_batches
from mtl_model.data.encode import Batch, Encoder
from mtl_model.model_folder import read_vocabularies

BATCH_SIZE = 64


def rank_batches(spec: TrainSpec, rank: int, num_ranks: int, seed: int = 5) -> list[Batch]:
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    num_steps = count_steps(shard_rows(spec.train_files, 1, 0, num_ranks), BATCH_SIZE)
    tables = read_shard(spec.train_files, encoder.training_columns, 1, 0, rank, num_ranks)
    return list(shuffled_batches(tables, encoder, BATCH_SIZE, num_steps, seed))


@pytest.fixture(params=[100, 10_000], ids=["pools of two row groups", "one pool"])
def _pool_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "POOL_ROWS", request.param)


@pytest.mark.usefixtures("_pool_rows")
@pytest.mark.parametrize("num_ranks", [1, 3])
def test_all_ranks_take_the_same_steps_and_no_row_is_lost(
    make_spec: Callable[..., TrainSpec], num_ranks: int
) -> None:
    spec = make_spec(num_rows=1000)

    ranks = [rank_batches(spec, rank, num_ranks) for rank in range(num_ranks)]

    assert len({len(batches) for batches in ranks}) == 1
    ids = torch.cat([batch.example_ids for batches in ranks for batch in batches])
    assert sorted(ids.tolist()) == list(range(1000))


def test_a_rank_that_has_run_out_gives_empty_batches(make_spec: Callable[..., TrainSpec]) -> None:
    spec = make_spec(num_rows=200)  # two files of one row group each

    sizes = [[batch.num_rows for batch in rank_batches(spec, rank, num_ranks=3)] for rank in range(3)]

    assert sorted(sizes) == [[0, 0], [64, 36], [64, 36]]


def test_rows_are_mixed_and_the_seed_decides_how(make_spec: Callable[..., TrainSpec]) -> None:
    spec = make_spec(num_rows=500)

    first, again, other = (rank_batches(spec, 0, 1, seed=seed)[0].example_ids for seed in (1, 1, 2))

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert first.tolist() != sorted(first.tolist())


def test_a_row_keeps_its_own_features_and_labels(make_spec: Callable[..., TrainSpec]) -> None:
    spec = make_spec(num_rows=500)
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    tables = read_shard(spec.train_files, encoder.training_columns, 1, 0, 0, 1)
    unshuffled = {
        int(row[0]): row[1:] for table in tables for row in zip(*encoder.encode(table), strict=True)
    }

    for batch in rank_batches(spec, 0, 1):
        for example_id, *row in zip(*batch, strict=True):
            for found, expected in zip(row, unshuffled[int(example_id)], strict=True):
                assert torch.equal(found, expected)
