"""Which fields a prediction comes from, row by row: integrated gradients, computed by captum.

Sundararajan, Taly and Yan, ICML 2017, arxiv.org/abs/1703.01365. What input x_i adds to a task's score f is

(x_i - b_i) * integral over a from 0 to 1 of df / dx_i at b + a (x - b)

The inputs x are what the sharing reads, embeddings, pooled lists and numbers, and the products of the
factorisation where there is one; the base b is their mean over the given rows, or over others. A field's
attribution is the sum over its inputs, and all fields together make f(x) - f(b), but for the error of the
integral. f is the logit of a binary task, the mean logit of a multilabel task, the greatest of a multiclass
task, the logarithm of an expected amount, else the prediction itself.

Shapes: B = rows, I = inputs of the sharing, C = copies, D = factors, F = fields, K = logits of a task.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from mtl_model.data.encode import Encoder, Features
from mtl_model.heads.binary import BinaryHead
from mtl_model.heads.multiclass import MulticlassHead
from mtl_model.heads.multilabel import MultilabelHead
from mtl_model.heads.zero_inflated_lognormal import ZeroInflatedLognormalHead
from mtl_model.layers.pooled_lists import PooledList
from mtl_model.model import Head, JointModel
from mtl_model.predict import Predictor

NUM_STEPS = 32  # Gauss-Legendre points of the integral
CHUNK_ROWS = 4096  # rows times steps in memory at a time
MIN_AMOUNT = 1e-6  # for the logarithm
MAX_ERROR = 0.05  # of the integral, as a share of f(x) - f(b)
_ROUNDING = 1e-5

logger = logging.getLogger(__name__)

Attributions = npt.NDArray[np.float64]


class FieldAttribution(NamedTuple):
    """A field's attribution for one task over some labelled rows: its mean size, and its mean."""

    task: str
    field: str
    mean_absolute: float
    mean: float
    num_rows: int


def measure_attributions(predictor: Predictor, rows: pa.Table) -> list[FieldAttribution]:
    """Each field for each task, over the rows with a label of the task; tasks without one are left out."""
    batch = predictor.encoder.encode(rows)
    found: list[FieldAttribution] = []
    for position, task in enumerate(predictor.tasks):
        labelled = batch.take(batch.masks[:, position] > 0)
        if not labelled.num_rows:
            continue
        features = Features(labelled.ids, labelled.numbers)
        fields, attributions = attribute_rows(predictor, features, task.name)
        sizes, means = np.abs(attributions).mean(axis=0), attributions.mean(axis=0)
        found += [
            FieldAttribution(task.name, field, float(size), float(mean), labelled.num_rows)
            for field, size, mean in zip(fields, sizes, means, strict=True)
        ]
    return found


def top_reasons(
    predictor: Predictor, rows: pa.Table, task: str, num_reasons: int, base_rows: pa.Table
) -> pa.MapArray:
    """Of each row the fields that moved its score of `task` most, against the mean of `base_rows`.

    A map of field -> attribution per row, the greatest first; above 0 it raised the score.
    """
    encode = predictor.encoder.encode_features
    fields, attributions = attribute_rows(predictor, encode(rows), task, base=encode(base_rows))
    order = np.argsort(-np.abs(attributions), axis=1, kind="stable")[:, :num_reasons]
    offsets = np.arange(len(order) + 1, dtype=np.int32) * order.shape[1]
    names, values = np.array(fields)[order].ravel(), np.take_along_axis(attributions, order, 1).ravel()
    return pa.MapArray.from_arrays(offsets, pa.array(names, pa.string()), values)


def attribute_rows(
    predictor: Predictor,
    features: Features,
    task: str,
    num_steps: int = NUM_STEPS,
    base: Features | None = None,
) -> tuple[list[str], Attributions]:
    """The names of the fields, and what each adds to the task's score of each row: (B, F).

    Against the mean of `base`, else of `features`.
    """
    model, encoder = predictor.model, predictor.encoder
    model.eval()
    with _Taps(model).open() as taps:

        def score(*inputs_and_features: Tensor) -> Tensor:
            *taps.given, ids, numbers = inputs_and_features
            return task_score(model.head(task), model(ids, numbers)[task])

        with torch.no_grad():
            means = [tensor.mean(dim=0, keepdim=True) for tensor in taps.see(base or features)]
            seen = taps.see(features)
            bases = [mean.expand_as(tensor) for mean, tensor in zip(means, seen, strict=True)]
            moved = score(*seen, *features) - score(*bases, *features)
        of_inputs = IntegratedGradients(score).attribute(
            tuple(seen),
            baselines=tuple(means),
            additional_forward_args=tuple(features),
            n_steps=num_steps,
            internal_batch_size=CHUNK_ROWS,
        )
    fields, attributions = _sum_by_field(model, encoder, of_inputs)
    _warn_of_error(task, attributions.sum(dim=1), moved)
    return fields, attributions.numpy()


def _sum_by_field(model: JointModel, encoder: Encoder, of_inputs: Sequence[Any]) -> tuple[list[str], Tensor]:
    """The names of the fields, and the sum over the inputs of each: (B, F)."""
    columns = input_fields(model, encoder)
    fields = list(dict.fromkeys(columns))
    summed = of_inputs[0].double().flatten(start_dim=1).unflatten(1, (-1, len(columns))).sum(dim=1)  # (B, I)
    attributions = torch.zeros(len(summed), len(fields), dtype=torch.float64)
    attributions.index_add_(1, torch.tensor([fields.index(field) for field in columns]), summed)
    if len(of_inputs) == 1:
        return fields, attributions
    of_products = of_inputs[1].double().flatten(start_dim=1).sum(dim=1, keepdim=True)
    return [*fields, factored_name(model, encoder)], torch.cat([attributions, of_products], dim=1)


def _warn_of_error(task: str, explained: Tensor, moved: Tensor) -> None:
    """Maps what the fields add up to (B,), and what they should, f(x) - f(b) (B,), to a warning."""
    error, size = (explained - moved).abs().mean().item(), moved.abs().mean().item()
    if error > MAX_ERROR * size + _ROUNDING:
        logger.warning(
            "attributions of task %s are off by %.3g on average, where scores differ by %.3g from the base: "
            "do not trust the small ones",
            task,
            error,
            size,
        )


def task_score(head: Head, logits: Tensor) -> Tensor:
    """What is explained of a task: maps logits (B, K) to (B,)."""
    if isinstance(head, BinaryHead):
        return logits[:, 0]
    if isinstance(head, MultilabelHead):
        return logits.mean(dim=1)
    if isinstance(head, MulticlassHead):
        return logits.max(dim=1).values
    predicted = head.predict(logits, 0.0)
    is_amount = isinstance(head, ZeroInflatedLognormalHead)
    return predicted.clamp(min=MIN_AMOUNT).log() if is_amount else predicted


def input_fields(model: JointModel, encoder: Encoder) -> list[str]:
    """The field of each input of the sharing (I,)."""
    slots = encoder.id_columns + [encoder.numeric_columns[row] for row in encoder.boundaries]
    fields: list[str] = []
    for table in model.embedding.tables:
        for slot in model.embedding.together[table]:
            fields += [slots[slot]] * encoder.slot_dims[slot]
    factored = [field.columns for side in _sides(model) for field in side]
    pooled = [name for name, columns in encoder.list_columns.items() if columns not in factored]
    for name, pool in zip(pooled, model.lists, strict=True):
        fields += [name] * cast(PooledList, pool).output_dim
    return fields + encoder.numeric_columns


def factored_name(model: JointModel, encoder: Encoder) -> str:
    """Such as "user_id x item_id, genres"."""
    slots = encoder.id_columns + [encoder.numeric_columns[row] for row in encoder.boundaries]
    of_lists = {(part.start, part.stop): name for name, part in encoder.list_columns.items()}
    sides = [
        [of_lists.get((field.columns.start, field.columns.stop)) or slots[field.slot] for field in side]
        for side in _sides(model)
    ]
    return " x ".join(", ".join(side) for side in sides)


def _sides(model: JointModel) -> Sequence[Sequence[Any]]:
    return model.factorization.sides if model.factorization else ()


class _Taps:
    """The tensors that all scores come from: `seen` in a forward pass, or `given` in their place.

    The sharing's input (B, I) or (B, C, I), then the factorisation's products (B, D) or (B, C, D), if any.
    """

    def __init__(self, model: JointModel) -> None:
        self.model = model
        self.seen: list[Tensor] = []
        self.given: list[Tensor] = []

    def see(self, features: Features) -> list[Tensor]:
        """The tensors of these rows."""
        self.seen, self.given = [], []
        self.model(*features)
        return self.seen

    @contextmanager
    def open(self) -> Iterator["_Taps"]:
        hooks = [self.model.sharing.register_forward_pre_hook(self._tap_sharing)]
        if self.model.factorization is not None:
            hooks.append(self.model.factorization.register_forward_hook(self._tap_products))
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    def _tap_sharing(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self._tap(0, inputs[0]),)

    def _tap_products(
        self, module: nn.Module, inputs: tuple[Any, ...], outputs: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        return self._tap(1, outputs[0]), outputs[1]

    def _tap(self, place: int, tensor: Tensor) -> Tensor:
        if not self.given:
            self.seen.append(tensor.movedim(-2, 0))  # the batch first, as captum wants it
            return tensor
        return self.given[place].movedim(0, -2)
