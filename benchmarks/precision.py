"""Whether training in bf16 costs quality: the AUC on held-out rows after training in bf16 and in fp32.

python -m benchmarks.precision [--quick]

Each line of JSON has the mean AUC of a task over the seeds; `difference` is that of the means.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from benchmarks.contestants import write_result
from benchmarks.nightshelf_steps import to_batch, write_spec
from benchmarks.workload import Workload, make_batches
from mtl_model.evaluation.metrics import auc
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import Trainer

NUM_SEEDS = 3
NUM_STEPS = 200
NUM_JUDGED_BATCHES = 16
WORKLOAD = Workload("mmoe", num_ids=26_000, batch_size=4096, num_experts=4, hidden_dims=(64, 32))


def train_and_judge(workload: Workload, num_steps: int, seed: int) -> dict[str, float]:
    """The AUC of each task; the same rows in the same order for either precision."""
    train = make_batches(workload, num_steps, seed)
    judged = make_batches(workload, NUM_JUDGED_BATCHES, seed=NUM_SEEDS)
    with join_process_group() as group, tempfile.TemporaryDirectory() as folder:
        spec = write_spec(workload, 1, Path(folder))
        with closing(Trainer(spec, group)) as trainer:
            trainer.model.train()
            for step, rows in enumerate(train, start=1):
                trainer.train_step(to_batch(rows), step)
            trainer.model.eval()
            with torch.no_grad():
                batches = [to_batch(rows) for rows in judged]
                logits = [trainer.model(batch.ids, batch.numbers) for batch in batches]
    labels = np.concatenate([rows.labels for rows in judged])
    return {
        task: auc(
            labels[:, column], torch.cat([one[task] for one in logits])[:, 0].numpy(), np.ones(len(labels))
        )
        for column, task in enumerate(workload.tasks)
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small table and batch, one seed, few steps")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    arguments = parser.parse_args(argv)
    workload = WORKLOAD._replace(batch_size=256) if arguments.quick else WORKLOAD
    seeds, num_steps = (1, 5) if arguments.quick else (NUM_SEEDS, NUM_STEPS)
    judged = {
        precision: [
            train_and_judge(workload._replace(precision=precision), num_steps, seed) for seed in range(seeds)
        ]
        for precision in ("bf16", "fp32")
    }
    for task in workload.tasks:
        ours, rival = (statistics.mean(one[task] for one in judged[of]) for of in ("bf16", "fp32"))
        write_result(f"{task} AUC bf16 / fp32", ours, rival, "AUC", difference=ours - rival)


if __name__ == "__main__":
    main()
