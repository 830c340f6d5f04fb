import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Batch, Encoder
from mtl_model.data.masking import mask_values
from mtl_model.model_folder import read_vocabularies
from tests.mtl_model.conftest import LIST_FIELDS

RATE = 0.3


@pytest.fixture
def encoder(make_spec: Callable[..., TrainSpec]) -> Encoder:
    """Slots: user_id, item_id, query (hashed), days_since's buckets; lists of 4 and 2; 2 numbers."""
    plain = make_spec()
    model = json.loads(plain.model.model_dump_json())
    model["fields"] += LIST_FIELDS
    vocabularies = {name: str(path) for name, path in plain.vocabularies.items()}
    vocabularies["departments"] = str(Path(vocabularies["user_id"]).with_name("departments.parquet"))
    spec = make_spec(changes={"model": model, "vocabularies": vocabularies})
    return Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))


@pytest.fixture
def rows(encoder: Encoder, write_examples: Callable[..., list[Path]]) -> Batch:
    files = write_examples("rows", 4000, seed=4)
    return encoder.encode(pa.concat_tables([pq.read_table(path) for path in files]))


def test_each_kind_of_value_is_hidden_in_its_way_at_the_rate(encoder: Encoder, rows: Batch) -> None:
    masked = mask_values(rows, encoder, RATE, RATE, seed=5)

    changed = masked.ids != rows.ids
    was_there = rows.ids > 1
    for column, hidden_as in enumerate([1, 1, 0, 0, *[1] * 6]):
        assert (masked.ids[changed[:, column], column] == hidden_as).all(), column
        rate = changed[was_there[:, column], column].float().mean().item()
        assert rate == pytest.approx(RATE, abs=0.05), column
    assert torch.equal(masked.ids[rows.ids == 0], rows.ids[rows.ids == 0])
    hidden_numbers = (masked.numbers == 0) & (rows.numbers != 0)
    assert hidden_numbers.float().mean(dim=0).tolist() == pytest.approx([0.27, 0.27], abs=0.03)
    assert torch.equal(masked.numbers[~hidden_numbers], rows.numbers[~hidden_numbers])
    assert torch.equal(hidden_numbers[:, 0], changed[:, 3])  # a number and its bucket
    assert not torch.equal(changed[:, 0], changed[:, 1])
    assert torch.equal(masked.labels, rows.labels)


def test_fields_and_lists_have_rates_of_their_own(encoder: Encoder, rows: Batch) -> None:
    of_fields = mask_values(rows, encoder, RATE, 0.0, seed=5).ids != rows.ids
    of_lists = mask_values(rows, encoder, 0.0, RATE, seed=5).ids != rows.ids

    assert of_fields.any(dim=0).tolist() == [True] * 4 + [False] * 6
    assert of_lists.any(dim=0).tolist() == [False] * 4 + [True] * 6
    assert mask_values(rows, encoder, 0.0, 0.0, seed=5) is rows


def test_what_is_hidden_depends_on_the_example_and_the_seed_alone(encoder: Encoder, rows: Batch) -> None:
    some = torch.tensor([70, 3, 3999, 12])

    masked, alone, of_next_epoch = (
        mask_values(batch, encoder, RATE, RATE, seed)
        for batch, seed in ((rows, 5), (rows.take(some), 5), (rows, 6))
    )

    assert torch.equal(alone.ids, masked.ids[some])
    assert torch.equal(alone.numbers, masked.numbers[some])
    assert not torch.equal(of_next_epoch.ids, masked.ids)
    empty = rows.take(slice(0))
    assert mask_values(empty, encoder, RATE, RATE, 5).num_rows == 0
