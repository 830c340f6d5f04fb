"""Run by torchrun: trains a few steps on fixed global batches, rank r taking rows r, r + world size, ...

steps_on_ranks.py OUTPUT_DIR SPEC... writes the weights of rank 0 and its balancer's state, one file per spec.
"""

import sys
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from torch import Tensor

from mtl_model.config import TrainSpec
from mtl_model.training.process_group import ProcessGroup, join_process_group
from mtl_model.training.train import Trainer

NUM_STEPS = 4
GLOBAL_BATCH_SIZE = 30  # too small for every rank to have a labelled row of every task


def share_of(step: int, rank: int, world_size: int) -> slice:
    return slice(step * GLOBAL_BATCH_SIZE + rank, (step + 1) * GLOBAL_BATCH_SIZE, world_size)


def take_steps(spec: TrainSpec, group: ProcessGroup) -> dict[str, Tensor]:
    with closing(Trainer(spec, group)) as trainer:
        rows = trainer.encoder.encode(pq.read_table(spec.train_files[0]))
        for step in range(NUM_STEPS):
            share = rows.take(share_of(step, group.rank, group.world_size))
            trainer.train_step(trainer.transfer.weigh(share), step + 1)
        state = trainer.balancing.balancer.state
        balance = {f"balancer.{name}": torch.tensor(values) for name, values in state.items()}
        return trainer.model.state_dict() | balance


def main(output_dir: Path, *spec_paths: Path) -> None:
    with join_process_group() as group:
        for path in spec_paths:
            tensors = take_steps(TrainSpec.model_validate_json(path.read_bytes()), group)
            if group.is_main:
                save_file(tensors, output_dir / f"{path.stem}.safetensors")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
