"""Augmentation: hides some of what a row says, so that the model leans on no one field and no one item.

A hidden id becomes an unknown one, which trains the embedding that new ids will have; a hidden number, or an
id of a field without a vocabulary, becomes a missing one; an item of a list becomes an unknown item. Whether
a value is hidden is a hash of the seed, the example's id and the value's place: the same on any number of
processes, and after a resume.

Shapes: B = rows, S = scalar slots, P = lengths of all lists together, N = numbers, C = values of a row.
"""

import numpy as np
import numpy.typing as npt
import torch

from mtl_model.data.encode import Batch, Encoder
from mtl_model.data.id_rows import PADDING_ROW, UNKNOWN_ROW

Hidden = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


def mask_values(batch: Batch, encoder: Encoder, field_rate: float, sequence_rate: float, seed: int) -> Batch:
    """Hides the value of each field at `field_rate` and each item of a list at `sequence_rate`."""
    if not (field_rate or sequence_rate) or not batch.num_rows:
        return batch
    ids, numbers = batch.ids.numpy().copy(), batch.numbers.numpy().copy()
    num_ids = sum(name in encoder.vocabularies for name in encoder.id_columns)
    num_plain = len(encoder.id_columns)
    num_fields = num_plain + len(encoder.numeric_columns)
    num_items = encoder.num_id_columns - encoder.num_scalar_slots
    draws = draw_uniform(batch.example_ids.numpy(), num_fields + num_items, seed)
    of_fields = draws[:, :num_fields] < field_rate
    of_numbers = of_fields[:, num_plain:]
    numbers[of_numbers] = 0.0
    known = ids != PADDING_ROW
    ids[:, :num_ids][of_fields[:, :num_ids] & known[:, :num_ids]] = UNKNOWN_ROW
    ids[:, num_ids:num_plain][of_fields[:, num_ids:num_plain]] = PADDING_ROW
    buckets = ids[:, num_plain : encoder.num_scalar_slots]
    buckets[of_numbers[:, list(encoder.boundaries)]] = PADDING_ROW
    items, is_item = ids[:, encoder.num_scalar_slots :], known[:, encoder.num_scalar_slots :]
    items[(draws[:, num_fields:] < sequence_rate) & is_item] = UNKNOWN_ROW
    return batch._replace(ids=torch.from_numpy(ids), numbers=torch.from_numpy(numbers))


def draw_uniform(example_ids: npt.NDArray[np.int64], num_places: int, seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) per example and place: (B, C)."""
    of_rows = _mix(example_ids.astype(np.uint64) ^ np.uint64(seed))
    places = np.arange(1, num_places + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (_mix(of_rows[:, None] + places) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(numbers: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, doi.org/10.1145/2660193.2660195)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
