"""Starts a model from the weights of another one, such as yesterday's.

A weight is known by what it belongs to, not by where it stands: the two models may list their fields and
tasks in any order, and have others. Where owner and shape are equal it is taken over. Embedding rows follow
their values: an id keeps its row's weights wherever it stands in the new vocabulary, and a new id begins as
unknown ids have been so far.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_model.config import ModelConfig, ModelDescription, WarmStart
from mtl_model.data.config import EmbeddedField
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
    weights = _by_owner(earlier, earlier_description)
    afresh = []
    for owner, (name, tensor) in _by_owner(model, description).items():
        _, found = weights.get(owner, ("", None))
        if found is not None and found.shape == tensor.shape:
            tensor.copy_(found)
        else:
            afresh.append(name)
    tables = _tables(earlier, earlier_description.model)
    for field, (columns, rows) in _tables(model, description.model).items():
        earlier_columns, earlier_rows = tables.get(field, ([], rows[:0]))
        known = earlier_encoder.vocabularies.get(field)
        if field in encoder.vocabularies and known is not None:
            earlier_rows = earlier_rows[_rows_of(encoder.vocabularies[field], known)]
        taken = _take_columns(rows, columns, earlier_rows, earlier_columns)
        if taken < len(columns):
            but_for = f", but for {taken} of {len(columns)} columns" if taken else ""
            afresh.append(f"embedding of {field}{but_for}")
    return afresh


def measured_alike(model: ModelConfig, earlier: ModelConfig) -> set[str]:
    """The numbers of both models whose statistics mean the same in both."""
    settings, before = (
        {(field.name, field.log1p, field.num_buckets) for field in config.numeric_fields}
        for config in (model, earlier)
    )
    return {name for name, *_ in settings & before}


def _by_owner(model: JointModel, description: ModelDescription) -> dict[Hashable, tuple[str, Tensor]]:
    """The weights beside the embeddings, with their names, by what they belong to."""
    return {
        _owner(name, model, description): (name, tensor)
        for name, tensor in model.state_dict().items()
        if not name.startswith("embedding.")
    }


def _owner(name: str, model: JointModel, description: ModelDescription) -> Hashable:
    config = description.model
    part, first, *rest = name.split(".")
    if part == "lists":
        field = config.pooled_fields[int(first)]
        _, copy, *inside = rest
        copies = max((config.copies_of(embedded) for embedded in config.embedded_fields), key=len)
        return (part, field.name, field.shares, field.pooling, copies[int(copy)], *inside)
    if part == "sharing":
        tasks = tuple((task.name, task.depends_on) for task in config.tasks)
        of_tasks = () if first in model.sharing.task_free else tasks
        return (name, config.sharing.model_dump_json(), _inputs(config), of_tasks)
    task = next(task for task in config.tasks if task.name == first)
    labels = description.data.label_names.get(task.name)
    factors = _factor_columns(config) if part == "heads" else ()
    return (name, task.head, task.num_classes, task.depends_on, labels, factors)


def _inputs(config: ModelConfig) -> Hashable:
    """What stands side by side in the inputs of the sharing."""
    factored = config.factored_fields
    embedded = (field for field in config.scalar_slot_fields if field.name not in factored)
    dims = [config.embedding_dim_of(field) for field in config.embedded_fields]
    return (
        tuple((field.name, field.kind, config.embedding_dim_of(field)) for field in embedded),
        tuple(
            (field.name, field.shares, field.pooling, dims[config.slot_of(field.name)])
            for field in config.pooled_fields
        ),
        tuple((field.name, field.log1p) for field in config.numeric_fields),
    )


def _factor_columns(config: ModelConfig) -> tuple[Hashable, ...]:
    """What stands side by side in the factors of an id, if the model has a factorisation."""
    if config.factorization is None:
        return ()
    factors = [("factor", place) for place in range(config.factorization.num_factors)]
    return (*factors, *(("bias", task.name) for task in config.tasks))


def _tables(model: JointModel, config: ModelConfig) -> dict[str, tuple[list[Hashable], Tensor]]:
    """What each column of a field's embeddings is, and their rows."""
    return {
        field.name: (_columns(field, config), model.embedding.slot_weights(slot))
        for slot, field in enumerate(config.embedded_fields)
    }


def _columns(field: EmbeddedField, config: ModelConfig) -> list[Hashable]:
    places = _factor_columns(config)
    if field.name not in config.factored_fields:
        dim = config.embedding_dim_of(field)
        places = tuple((dim, place) for place in range(dim))
    kind = field.kind, getattr(field, "num_hash_rows", None)
    return [(kind, copy, place) for copy in config.copies_of(field) for place in places]


def _take_columns(
    rows: Tensor, columns: Sequence[Hashable], earlier_rows: Tensor, earlier_columns: Sequence[Hashable]
) -> int:
    """Copies what both tables have; returns the number of columns."""
    if len(rows) != len(earlier_rows):
        return 0
    if columns == earlier_columns:
        rows.copy_(earlier_rows)
        return len(columns)
    common = [column for column in columns if column in earlier_columns]
    there = earlier_rows[:, [earlier_columns.index(column) for column in common]]
    rows[:, [columns.index(column) for column in common]] = there
    return len(common)


def _rows_of(vocabulary: Vocabulary, known: Vocabulary) -> Tensor:
    """The row of each value, behind the rows of null and of the unknown, in the vocabulary `known`."""
    rows = look_up(vocabulary.values, known)
    return torch.from_numpy(np.concatenate([np.arange(FIRST_KNOWN_ROW), rows]))


def _check_numbers(description: ModelDescription, earlier: ModelDescription, start: WarmStart) -> None:
    now, before = description.data.numeric_statistics, earlier.data.numeric_statistics
    alike = measured_alike(description.model, earlier.model)
    if differing := sorted(name for name in alike if now[name] != before[name]):
        raise ValueError(
            f"numeric_statistics of {differing} differ from those of {start.model_dir}: its weights belong "
            "to its own; take them from its model.json"
        )
