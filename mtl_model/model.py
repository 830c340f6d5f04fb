"""The joint model: fields -> embeddings and numbers -> sharing -> a tower and a head per task.

Shapes: B = batch, S = scalar slots, P = lengths of all lists together, N = numbers, H = sharing output dim.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mtl_model.config import ModelConfig, TaskConfig
from mtl_model.data.encode import Encoder
from mtl_model.heads.binary import BinaryHead
from mtl_model.heads.multiclass import MulticlassHead
from mtl_model.heads.multilabel import MultilabelHead
from mtl_model.heads.ordinal import OrdinalHead
from mtl_model.heads.regression import RegressionHead
from mtl_model.heads.zero_inflated_lognormal import ZeroInflatedLognormalHead
from mtl_model.layers.embedding import FusedEmbedding
from mtl_model.layers.factorization import Factorization, FactorSlot
from mtl_model.layers.mlp import MLP
from mtl_model.layers.pooled_lists import ListSlot, PooledList
from mtl_model.sharing.aitm import AITM
from mtl_model.sharing.cross_stitch import CrossStitch
from mtl_model.sharing.escm2 import ESCM2
from mtl_model.sharing.esmm import ESMM
from mtl_model.sharing.home import HoME
from mtl_model.sharing.l2_tied import L2Tied
from mtl_model.sharing.mmoe import MMoE
from mtl_model.sharing.omoe import OMoE
from mtl_model.sharing.ple import PLE
from mtl_model.sharing.resflow import ResFlow
from mtl_model.sharing.shared_bottom import SharedBottom
from mtl_model.sharing.sharing import Sharing
from mtl_model.sharing.single_task import SingleTask
from mtl_model.sharing.stem import STEM
from mtl_model.sharing.task_embedding import TaskEmbedding
from mtl_model.sharing.task_relationship import TaskRelationship
from mtl_model.training.config import Precision

SingleLabelHead = BinaryHead | ZeroInflatedLognormalHead | RegressionHead
ClassHead = OrdinalHead | MulticlassHead
Head = SingleLabelHead | ClassHead | MultilabelHead


SHARING: dict[str, type[Sharing]] = {
    "single_task": SingleTask,
    "shared_bottom": SharedBottom,
    "l2_tied": L2Tied,
    "cross_stitch": CrossStitch,
    "task_embedding": TaskEmbedding,
    "task_relationship": TaskRelationship,
    "omoe": OMoE,
    "mmoe": MMoE,
    "ple": PLE,
    "home": HoME,
    "stem": STEM,
    "esmm": ESMM,
    "escm2": ESCM2,
    "aitm": AITM,
    "resflow": ResFlow,
}
SINGLE_LABEL_HEADS: dict[str, type[SingleLabelHead]] = {
    "binary": BinaryHead,
    "zero_inflated_lognormal": ZeroInflatedLognormalHead,
    "regression": RegressionHead,
}
FACTOR_SCALES = {"binary": 1.5, "multilabel": 1.5}  # log odds are wider than labels
CLASS_HEADS: dict[str, type[ClassHead]] = {"ordinal": OrdinalHead, "multiclass": MulticlassHead}


class JointModel(nn.Module):
    def __init__(
        self,
        embedding: FusedEmbedding,
        lists: Sequence[PooledList],
        sharing: Sharing,
        towers: Mapping[str, MLP],
        heads: Mapping[str, Head],
        factorization: Factorization | None = None,
        penalty_weight: float = 0.0,
        detached: Collection[str] = (),
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        self.embedding, self.precision = embedding, precision
        self.lists = nn.ModuleList(lists)
        self.sharing = sharing
        self.towers = nn.ModuleDict(towers)
        self.heads = nn.ModuleDict(heads)
        self.factorization, self.penalty_weight = factorization, penalty_weight
        self.detached = frozenset(detached)

    def head(self, task: str) -> Head:
        return cast(Head, self.heads[task])

    def forward(self, ids: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """Maps ids (B, S + P) and numbers (B, N) to logits per task, each (B, its head's width).

        While training also "<task>.penalty" (B,) per task, where the model has a factorisation.
        """
        hidden, before_heads = self._dense_part(ids, numbers)
        penalties = {}
        if self.factorization is not None:
            factors, squares = (self._by_task(rows) for rows in self.factorization(ids, self.embedding))
            before_heads = {
                task: torch.cat([rows, self._detach(task, factors[task])], dim=1)
                for task, rows in before_heads.items()
            }
            if self.training:
                penalties = {
                    f"{task}.penalty": self.penalty_weight * self._detach(task, squares[task])
                    for task in squares
                }
        logits = {task: head(before_heads[task]) for task, head in self.heads.items()}
        return self.sharing.join_logits(hidden, logits) | penalties

    def _dense_part(self, ids: Tensor, numbers: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What sharing gives and, in fp32, what goes into the heads; only training is in bf16."""
        in_bf16 = self.training and self.precision == "bf16"
        copies = self.embedding.num_copies
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=in_bf16):
            pooled = [pool(ids, self.embedding) for pool in self.lists]
            parts = [*self.embedding(ids), *pooled, numbers.expand(copies, -1, -1) if copies > 1 else numbers]
            inputs = torch.cat([part.to(torch.bfloat16) for part in parts] if in_bf16 else parts, dim=-1)
            hidden: dict[str, Tensor] = self.sharing(inputs)
            towers = {task: tower(self._detach(task, hidden[task])) for task, tower in self.towers.items()}
        return hidden, {task: rows.to(numbers.dtype) for task, rows in towers.items()}

    def _by_task(self, rows: Tensor) -> dict[str, Tensor]:
        """Of rows (T, ...) with a copy per task each task's own, else the same for all."""
        if self.embedding.num_copies == 1:
            return dict.fromkeys(self.heads, rows)
        return dict(zip(self.heads, rows, strict=False))

    def _detach(self, task: str, rows: Tensor) -> Tensor:
        """The rows; for a detached task with a gradient of 0 behind them, for DDP expects one everywhere."""
        if task not in self.detached or not rows.requires_grad:
            return rows
        rows = rows.view_as(rows)
        rows.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]  # torch has no types for it
        return rows

    def penalty(self) -> Tensor | float:
        """The part of the loss that depends on the weights alone."""
        return self.sharing.penalty([self.head(task).linear.weight for task in self.heads])


def build_model(config: ModelConfig, encoder: Encoder) -> JointModel:
    """The untrained model for the encoder's slots; its weights depend on `training.seed` alone."""
    torch.manual_seed(config.training.seed)
    sparse = config.training.embedding_optimizer == "rowwise_adagrad"
    factored = {config.slot_of(name) for name in config.factored_fields}
    apart = factored | set(range(encoder.num_scalar_slots, len(encoder.slot_rows)))
    copies = [len(config.copies_of(field)) for field in config.embedded_fields]
    embedding = FusedEmbedding(encoder.slot_rows, encoder.slot_dims, copies, sparse, apart)
    factorization = _build_factorization(config, encoder)
    factors_dim = factorization.output_dim if factorization else 0
    lists = _build_lists(config, encoder, embedding.num_copies)
    input_dim = embedding.output_dim + sum(pool.output_dim for pool in lists) + len(config.numeric_fields)
    sharing = build_sharing(config, input_dim)
    towers = {
        task.name: MLP(sharing.output_dim, config.tower_hidden_dims, config.dropout) for task in config.tasks
    }
    heads = {
        task.name: _build_head(
            task, towers[task.name].output_dim + factors_dim, encoder.label_slices[task.name]
        )
        for task in config.tasks
    }
    if factorization:
        for position, task in enumerate(config.tasks):
            scale = FACTOR_SCALES.get(task.head, 1.0)
            factorization.init_head(heads[task.name].linear.weight, position, scale)
    penalty_weight = config.factorization.penalty if config.factorization else 0.0
    detached = [task.name for task in config.tasks if task.detached]
    precision = config.training.precision
    return JointModel(
        embedding, lists, sharing, towers, heads, factorization, penalty_weight, detached, precision
    )


def _build_factorization(config: ModelConfig, encoder: Encoder) -> Factorization | None:
    if config.factorization is None:
        return None
    sides = [[_factor_slot(name, config, encoder) for name in side] for side in config.factorization.sides]
    return Factorization(sides, config.factorization.num_factors, len(config.tasks))


def _factor_slot(name: str, config: ModelConfig, encoder: Encoder) -> FactorSlot:
    slot = config.slot_of(name)
    return FactorSlot(slot, encoder.list_columns.get(name, slice(slot, slot + 1)))


def _build_lists(config: ModelConfig, encoder: Encoder, num_copies: int) -> list[PooledList]:
    lists = []
    for field in config.pooled_fields:
        slot = config.slot_of(field.name)
        of = ListSlot(slot, encoder.list_columns[field.name], encoder.slot_dims[slot], field.pooling)
        lists.append(PooledList(of, num_copies, config.dropout))
    return lists


def build_sharing(config: ModelConfig, input_dim: int) -> Sharing:
    settings = config.sharing.model_dump(exclude={"name", "task_fields"})
    if config.sharing.is_funnel:
        settings["parents"] = config.parents
    tasks = [task.name for task in config.tasks]
    return SHARING[config.sharing.name](input_dim=input_dim, tasks=tasks, dropout=config.dropout, **settings)


def _build_head(task: TaskConfig, input_dim: int, labels: slice) -> Head:
    if task.head == "multilabel":
        return MultilabelHead(input_dim, num_labels=labels.stop - labels.start)
    if task.num_classes is not None:
        return CLASS_HEADS[task.head](input_dim, task.num_classes)
    return SINGLE_LABEL_HEADS[task.head](input_dim)
