"""Run by torchrun: trains a few steps on fixed global batches, rank r taking rows r, r + world size, ...

steps_on_ranks.py SPEC OUTPUT ... writes the weights of rank 0 to OUTPUT; more pairs may follow.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
from safetensors.torch import save_file

from mtl_model.config import TrainSpec
from mtl_model.training.process_group import ProcessGroup, join_process_group
from mtl_model.training.train import Trainer

NUM_STEPS = 4
GLOBAL_BATCH_SIZE = 30  # too small for every rank to have a labelled row of every task


def main(paths: Sequence[str]) -> None:
    with join_process_group() as group:
        for spec_path, output in zip(paths[::2], paths[1::2], strict=True):
            train_steps(TrainSpec.model_validate_json(Path(spec_path).read_bytes()), group, Path(output))


def train_steps(spec: TrainSpec, group: ProcessGroup, output: Path) -> None:
    with closing(Trainer(spec, group)) as trainer:
        rows = trainer.encoder.encode(pq.read_table(spec.train_files[0]))
        for step in range(NUM_STEPS):
            start = step * GLOBAL_BATCH_SIZE + group.rank
            share = slice(start, (step + 1) * GLOBAL_BATCH_SIZE, group.world_size)
            trainer.train_step(rows.take(share), step + 1)
        if group.is_main:
            save_file(trainer.model.state_dict(), output)


if __name__ == "__main__":
    main(sys.argv[1:])
