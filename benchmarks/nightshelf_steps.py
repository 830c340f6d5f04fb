"""Nightshelf's own training step, `Trainer.train_step`, on batches that are in memory already."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.workload import Rows, Workload, make_batches
from mtl_model.config import TrainSpec
from mtl_model.data.encode import Batch
from mtl_model.data.id_rows import FIRST_KNOWN_ROW
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import Trainer

NUM_BATCHES = 16


@contextmanager
def prepare(workload: Workload, num_threads: int) -> Iterator[Callable[[int], None]]:
    with join_process_group() as group, tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(num_threads)
        spec = write_spec(workload, group.world_size, Path(folder))
        rows = make_batches(workload, NUM_BATCHES, seed=group.rank)
        batches, steps = cycle([to_batch(batch) for batch in rows]), count(1)
        with closing(Trainer(spec, group)) as trainer:
            trainer.model.train()

            def take_steps(num_steps: int) -> None:
                for _ in range(num_steps):
                    trainer.train_step(next(batches), next(steps))

            yield take_steps


def to_batch(rows: Rows) -> Batch:
    labels = torch.from_numpy(rows.labels)
    return Batch(
        example_ids=torch.arange(len(labels)),
        ids=torch.from_numpy(rows.ids + FIRST_KNOWN_ROW),
        numbers=torch.from_numpy(rows.numbers),
        labels=labels,
        masks=torch.ones_like(labels),
        is_target=torch.zeros(len(labels), dtype=torch.bool),
        weights=torch.ones(len(labels)),
    )


def write_spec(workload: Workload, num_processes: int, folder: Path) -> TrainSpec:
    """A spec over vocabularies of that size; its one training file is there to be counted, not read."""
    vocabulary, examples = folder / "vocabulary.parquet", folder / "examples.parquet"
    values = pa.array(np.arange(workload.ids_per_field)).cast(pa.string())
    pq.write_table(pa.table({"value": values}), vocabulary)
    pq.write_table(pa.table({"example_id": np.arange(workload.batch_size)}), examples)
    spec = {
        "model": _model(workload, num_processes),
        "train_files": [str(examples)],
        "validation_files": [],
        "vocabularies": dict.fromkeys(workload.id_fields, str(vocabulary)),
        "numeric_statistics": {name: {"mean": 0.0, "std": 1.0} for name in workload.number_fields},
        "negative_sampling_rate": 1.0,
        "output_dir": str(folder / "model"),
    }
    return TrainSpec.model_validate_json(json.dumps(spec))


def _model(workload: Workload, num_processes: int) -> dict[str, Any]:
    hidden_dims = list(workload.hidden_dims)
    sharing: dict[str, dict[str, Any]] = {
        "mmoe": {"num_experts": workload.num_experts, "expert_hidden_dims": hidden_dims},
        "ple": {
            "num_levels": 2,
            "num_shared_experts": workload.num_shared_experts,
            "num_task_experts": workload.num_task_experts,
            "expert_hidden_dims": hidden_dims,
        },
        "aitm": {"hidden_dims": hidden_dims, "calibrator_weight": 0.1},
    }
    tasks = [
        {"name": task, "head": "binary", "label": f"label_{task}", "loss_weight": 1.0}
        for task in workload.tasks
    ]
    if workload.architecture == "aitm":
        tasks[1]["depends_on"] = workload.tasks[0]
    return {
        "embedding_dim": workload.embedding_dim,
        "fields": [{"kind": "id", "name": name} for name in workload.id_fields]
        + [{"kind": "numeric", "name": name} for name in workload.number_fields],
        "sharing": {"name": workload.architecture} | sharing[workload.architecture],
        "tower_hidden_dims": [workload.tower_dim],
        "tasks": tasks,
        "balancing": {"name": workload.balancing},
        "training": {
            "precision": workload.precision,
            "num_processes": num_processes,
            "global_batch_size": workload.batch_size * num_processes,
            "epochs": 1,
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-3,
            "embedding_optimizer": "rowwise_adagrad",
            "embedding_learning_rate": 0.02,
            "seed": 1,
        },
    }
