from collections.abc import Callable
from itertools import product

import pytest

from mtl_model.config import TrainSpec
from mtl_model.data.batches import load_reader
from mtl_model.data.encode import Encoder
from mtl_model.model_folder import read_vocabularies
from mtl_model.training.passes import Share, augment, plan_passes, read_pass, share_streams

MakeSpec = Callable[..., TrainSpec]


@pytest.mark.parametrize(
    ("num_streams", "world_size", "shares"),
    [
        (2, 2, [((0,), slice(None)), ((1,), slice(None))]),
        (3, 2, [((0, 2), slice(None)), ((1,), slice(None))]),
        (2, 3, [((0,), slice(0, None, 2)), ((1,), slice(0, None, 1)), ((0,), slice(1, None, 2))]),
    ],
)
def test_ranks_take_whole_streams_or_parts_of_one(
    num_streams: int, world_size: int, shares: list[tuple[tuple[int, ...], slice]]
) -> None:
    found = [share_streams(num_streams, rank, world_size) for rank in range(world_size)]

    assert found == [Share(*share) for share in shares]


@pytest.mark.parametrize("reader_name", ["arrow", "petastorm"])
def test_a_global_batch_has_the_same_rows_on_any_number_of_processes(
    make_spec: MakeSpec, reader_name: str
) -> None:
    spec = make_spec(num_rows=1000, num_processes=2, epochs=2, reader=reader_name, field_masking=0.2)
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    reader = load_reader(spec.model.training.reader)
    passes = plan_passes(spec, reader)

    steps: dict[int, list[list[tuple[int, int]]]] = {}
    for world_size, one_pass in product((1, 2, 3, 4), passes):
        shares = [share_streams(2, rank, world_size) for rank in range(world_size)]
        streams = [read_pass(one_pass, spec, encoder, reader, share) for share in shares]
        for batches in zip(*streams, strict=True):
            masked = [augment(batch, one_pass, spec, encoder) for batch in batches]
            rows = [row for batch in masked for row in zip(batch.example_ids, batch.ids[:, 0], strict=True)]
            numbers = sorted((int(example), int(user)) for example, user in rows)
            steps.setdefault(world_size, []).append(numbers)

    assert steps[1] == steps[2] == steps[3] == steps[4]
    assert len(steps[1]) == passes[-1].last_step
    first_epoch = [example for step in steps[1][: passes[0].num_steps] for example, _ in step]
    assert sorted(first_epoch) == list(range(1000))
    shown = [{row for step in steps[1][one.first_step : one.last_step] for row in step} for one in passes]
    assert shown[0] != shown[1]  # each epoch hides others
