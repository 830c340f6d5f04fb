import pytest
import torch

from mtl_model.config import TrainingConfig
from mtl_model.layers.embedding import FusedEmbedding
from mtl_model.training.optimizer import build_optimizer, learning_rate_at

TRAINING = TrainingConfig(
    num_processes=1,
    global_batch_size=8,
    epochs=1,
    learning_rate=1.0,
    final_learning_rate=0.2,
    warmup_steps=4,
    weight_decay=0.1,
    embedding_weight_decay=0.0,
    seed=0,
)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(0, 0.25, id="first step"),
        pytest.param(3, 1.0, id="warm"),
        pytest.param(4, 1.0, id="top"),
        pytest.param(12, 0.6, id="half way down"),
        pytest.param(20, 0.2, id="end"),
        pytest.param(99, 0.2, id="final pass"),
    ],
)
def test_the_rate_warms_up_then_falls(step: int, expected: float) -> None:
    assert learning_rate_at(step, total_steps=20, training=TRAINING) == pytest.approx(expected)


def test_embeddings_have_their_own_weight_decay() -> None:
    model = torch.nn.ModuleDict({"embedding": FusedEmbedding([3], [2]), "tower": torch.nn.Linear(2, 1)})

    groups = build_optimizer(model, TRAINING).param_groups

    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 2), (0.0, 1)]
