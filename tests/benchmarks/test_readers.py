from itertools import islice

import pytest
import torch

from benchmarks import reader_steps
from benchmarks.workload import Workload
from mtl_model.data.encode import Encoder
from mtl_model.model_folder import read_vocabularies
from mtl_model.training.config import ReaderName

WORKLOAD = Workload("mmoe", num_ids=1_000, batch_size=16, num_id_fields=3, num_numbers=2, hidden_dims=(8,))


@pytest.mark.parametrize("name", ["arrow", "petastorm"])
def test_readers_and_the_plain_scan_give_the_same_tensors(name: ReaderName) -> None:
    with reader_steps.write_files(WORKLOAD) as spec:
        encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
        num_steps = reader_steps.FILE_STEPS * len(spec.train_files)
        read = list(islice(reader_steps.read_batches(spec, encoder, name), num_steps))
        scanned = list(islice(reader_steps.scan_tensors(WORKLOAD, spec), num_steps))

    ids, numbers, labels = (torch.cat(parts) for parts in zip(*scanned, strict=True))
    order = torch.cat([batch.example_ids for batch in read]).argsort()
    assert len(order) == len(ids)
    assert torch.equal(torch.cat([batch.ids for batch in read])[order], ids)
    torch.testing.assert_close(torch.cat([batch.numbers for batch in read])[order], numbers)
    assert torch.equal(torch.cat([batch.labels for batch in read])[order], labels)


@pytest.mark.parametrize(
    "prepare", [reader_steps.train_frozen, reader_steps.train_by_arrow, reader_steps.train_by_petastorm]
)
def test_each_contestant_trains(prepare: reader_steps.Prepare) -> None:
    with prepare(WORKLOAD, num_threads=1) as take_steps:
        take_steps(3)
