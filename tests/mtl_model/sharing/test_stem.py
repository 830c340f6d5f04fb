from collections.abc import Callable

import pyarrow.parquet as pq
import torch

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies
from tests.mtl_model.sharing.build_sharing import TASKS, build_sharing, make_inputs, plain_mlp


def test_a_task_mixes_the_experts_of_all_tasks() -> None:
    stem = build_sharing("stem")
    inputs = make_inputs("stem", 5)

    hidden = stem(inputs)

    outputs = [plain_mlp(stem.experts, expert)(inputs[expert // 2]) for expert in range(8)]
    for position, task in enumerate(TASKS):
        rows = slice(position * 8, position * 8 + 8)
        gate_inputs = inputs[position] + inputs[3]
        gate = torch.softmax(gate_inputs @ stem.gates.weight[rows].T + stem.gates.bias[rows], dim=1)
        expected = torch.stack([gate[:, [expert]] * outputs[expert] for expert in range(8)]).sum(dim=0)
        torch.testing.assert_close(hidden[task], expected)


def test_a_task_moves_its_own_embeddings_and_the_shared_ones(
    make_funnel_spec: Callable[[str], TrainSpec],
) -> None:
    """Users have an embedding per task and a shared one, items a shared one alone."""
    spec = make_funnel_spec("stem")
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    model = build_model(spec.model, encoder)
    batch = encoder.encode(pq.read_table(spec.train_files[0]))
    users, items = model.embedding.tables["4x5"], model.embedding.tables["4"]

    for position, task in enumerate(spec.model.tasks):
        model.zero_grad()
        logits = model(batch.ids, batch.numbers)[task.name]
        torch.autograd.backward((logits * torch.randn_like(logits)).sum())

        assert users.grad is not None
        assert items.grad is not None
        moved = users.grad.unflatten(1, (5, 4)).abs().sum(dim=(0, 2)) > 0
        assert moved.tolist() == [copy in {position, 4} for copy in range(5)]
        assert items.grad.abs().sum() > 0
