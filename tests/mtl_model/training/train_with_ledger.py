"""Run by torchrun: trains, writes down which examples each step takes, and may kill itself in the middle.

train_with_ledger.py SPEC LEDGER KILL_RANK KILL_STEP appends {"step", "examples"} to the file LEDGER-RANK.
"""

import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from torch import Tensor

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Batch
from mtl_model.training.process_group import ProcessGroup, join_process_group
from mtl_model.training.train import Trainer


class LedgerTrainer(Trainer):
    def __init__(self, spec: TrainSpec, group: ProcessGroup, ledger: Path, kill: tuple[int, int]) -> None:
        super().__init__(spec, group)
        self.ledger, self.kill = ledger, kill

    def train_step(self, batch: Batch, step: int) -> tuple[Tensor, Tensor, Tensor]:
        with self.ledger.open("a") as file:
            file.write(json.dumps({"step": step, "examples": batch.example_ids.tolist()}) + "\n")
        if (self.group.rank, step) == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_step(batch, step)


def main(spec_path: str, ledger_prefix: str, kill_rank: str, kill_step: str) -> None:
    spec = TrainSpec.model_validate_json(Path(spec_path).read_bytes())
    with join_process_group() as group:
        ledger = Path(f"{ledger_prefix}-{group.rank}")
        with closing(LedgerTrainer(spec, group, ledger, (int(kill_rank), int(kill_step)))) as trainer:
            trainer.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
