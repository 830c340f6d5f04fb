"""Starts a model from the weights of another one, such as yesterday's.

Weights of equal name and shape are taken over. Embedding rows follow their values: an id keeps its row's
weights wherever it stands in the new vocabulary, and a new id begins as unknown ids have been so far.
"""

import numpy as np
import torch
from torch import Tensor

from mtl_model.config import ModelDescription, WarmStart
from mtl_model.data.encode import Encoder
from mtl_model.data.id_rows import FIRST_KNOWN_ROW, look_up
from mtl_model.data.vocabulary import Vocabulary
from mtl_model.model import JointModel
from mtl_model.model_folder import read_model


@torch.no_grad()
def warm_start(
    model: JointModel, encoder: Encoder, description: ModelDescription, start: WarmStart
) -> list[str]:
    """Fills `model` and returns the names of the parameters and fields that begin afresh.

    Raises:
        ValueError: if a number is standardised or cut into buckets otherwise than in the earlier model.
    """
    earlier, earlier_encoder, earlier_description = read_model(start.model_dir, weights=start.weights)
    _check_numbers(description, earlier_description, start)
    weights = earlier.state_dict()
    afresh = []
    for name, tensor in model.state_dict().items():
        if name.startswith("embedding."):
            continue
        if name in weights and weights[name].shape == tensor.shape:
            tensor.copy_(weights[name])
        else:
            afresh.append(name)
    earlier_slots = {field.name: slot for slot, field in enumerate(earlier_description.model.embedded_fields)}
    for slot, field in enumerate(description.model.embedded_fields):
        rows = model.embedding.slot_weights(slot)
        earlier_slot = earlier_slots.get(field.name)
        earlier_rows = None if earlier_slot is None else earlier.embedding.slot_weights(earlier_slot)
        known = earlier_encoder.vocabularies.get(field.name)
        if earlier_rows is not None and field.name in encoder.vocabularies and known is not None:
            earlier_rows = earlier_rows[_rows_of(encoder.vocabularies[field.name], known)]
        if earlier_rows is None or earlier_rows.shape != rows.shape:
            afresh.append(f"embedding of {field.name}")
            continue
        rows.copy_(earlier_rows)
    return afresh


def _rows_of(vocabulary: Vocabulary, known: Vocabulary) -> Tensor:
    """The row of each value, behind the rows of null and of the unknown, in the vocabulary `known`."""
    rows = look_up(vocabulary.values, known)
    return torch.from_numpy(np.concatenate([np.arange(FIRST_KNOWN_ROW), rows]))


def _check_numbers(description: ModelDescription, earlier: ModelDescription, start: WarmStart) -> None:
    now, before = description.data.numeric_statistics, earlier.data.numeric_statistics
    if differing := sorted(name for name in now.keys() & before.keys() if now[name] != before[name]):
        raise ValueError(
            f"numeric_statistics of {differing} differ from those of {start.model_dir}: its weights belong "
            "to its own; take them from its model.json"
        )
