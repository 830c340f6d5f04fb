"""The joint model: fields -> embeddings and numbers -> sharing -> a tower and a head per task.

Shapes: B = batch, S = embedded slots, N = numbers, H = sharing output dim.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from mtl_model.config import ModelConfig, TaskConfig
from mtl_model.data.encode import Encoder
from mtl_model.heads.binary import BinaryHead
from mtl_model.heads.multilabel import MultilabelHead
from mtl_model.heads.zero_inflated_lognormal import ZeroInflatedLognormalHead
from mtl_model.layers.embedding import FusedEmbedding
from mtl_model.layers.mlp import MLP
from mtl_model.sharing.mmoe import MMoE
from mtl_model.sharing.shared_bottom import SharedBottom

Sharing = SharedBottom | MMoE
Head = BinaryHead | ZeroInflatedLognormalHead | MultilabelHead


SHARING: dict[str, type[Sharing]] = {"shared_bottom": SharedBottom, "mmoe": MMoE}
SINGLE_LABEL_HEADS: dict[str, type[BinaryHead] | type[ZeroInflatedLognormalHead]] = {
    "binary": BinaryHead,
    "zero_inflated_lognormal": ZeroInflatedLognormalHead,
}


class JointModel(nn.Module):
    def __init__(
        self,
        embedding: FusedEmbedding,
        sharing: Sharing,
        towers: Mapping[str, MLP],
        heads: Mapping[str, Head],
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.sharing = sharing
        self.towers = nn.ModuleDict(towers)
        self.heads = nn.ModuleDict(heads)

    def head(self, task: str) -> Head:
        return cast(Head, self.heads[task])

    def forward(self, ids: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """Maps ids (B, S) and numbers (B, N) to logits per task, each (B, its head's width)."""
        hidden = self.sharing(torch.cat([*self.embedding(ids), numbers], dim=1))
        return {task: head(self.towers[task](hidden[task])) for task, head in self.heads.items()}


def build_model(config: ModelConfig, encoder: Encoder) -> JointModel:
    """The untrained model for the encoder's slots; its weights depend on `training.seed` alone."""
    torch.manual_seed(config.training.seed)
    embedding = FusedEmbedding(encoder.slot_rows, encoder.slot_dims)
    sharing = SHARING[config.sharing.name](
        input_dim=embedding.output_dim + len(config.numeric_fields),
        tasks=[task.name for task in config.tasks],
        dropout=config.dropout,
        **config.sharing.model_dump(exclude={"name"}),
    )
    towers = {
        task.name: MLP(sharing.output_dim, config.tower_hidden_dims, config.dropout) for task in config.tasks
    }
    heads = {
        task.name: _build_head(task, towers[task.name].output_dim, encoder.label_slices[task.name])
        for task in config.tasks
    }
    return JointModel(embedding, sharing, towers, heads)


def _build_head(task: TaskConfig, input_dim: int, labels: slice) -> Head:
    if task.head == "multilabel":
        return MultilabelHead(input_dim, num_labels=labels.stop - labels.start)
    return SINGLE_LABEL_HEADS[task.head](input_dim)
