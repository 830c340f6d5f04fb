"""torch-rechub from Parquet to weights, as its README shows: pandas, DataGenerator, MTLTrainer.fit.

python -m benchmarks.torch_rechub_training FOLDER WORKLOAD THREADS, the workload as a JSON object.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator

from benchmarks.torch_rechub_steps import build_model
from benchmarks.workload import TASKS, Workload


def main(folder: str, workload_json: str, num_threads: str) -> None:
    torch.set_num_threads(int(num_threads))
    settings = json.loads(workload_json)
    workload = Workload(**settings | {"hidden_dims": tuple(settings["hidden_dims"])})
    train, judged = (_read(workload, Path(folder) / part) for part in ("train", "validation"))
    loader, judged_loader, _ = DataGenerator(*train).generate_dataloader(
        *judged, *judged, batch_size=workload.batch_size
    )
    types = ["classification"] * len(TASKS)
    trainer = MTLTrainer(build_model(workload), task_types=types, n_epoch=1, model_path=folder)
    trainer.fit(loader, judged_loader)


def _read(workload: Workload, folder: Path) -> tuple[dict[str, Any], Any]:
    frame = pd.read_parquet(folder)
    features = {name: frame[name].to_numpy() for name in [*workload.id_fields, *workload.number_fields]}
    return features, frame[[f"label_{task}" for task in TASKS]].to_numpy()


if __name__ == "__main__":
    main(*sys.argv[1:])
