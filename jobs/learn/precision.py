"""`training.precision: auto` -> fp32 or bf16, before any process of the training starts."""

import subprocess
import sys
from pathlib import Path
from typing import cast

from jobs.stage import Run
from mtl_model.config import ModelConfig
from mtl_model.training.choose_precision import ChosenPrecision, precision_of


def settle_precision(run: Run, model: ModelConfig, folder: Path) -> ModelConfig:
    """The model with what this machine is fast in; a training in `folder` goes on in what it began with."""
    if model.training.precision != "auto":
        return model
    chosen = precision_of(folder / "spec.json") or _ask_machine(model, run.home / "precision")
    return model.with_precision(chosen)


def _ask_machine(model: ModelConfig, memory: Path) -> ChosenPrecision:
    """In a process that ends: a GPU may allow one process at a time, and this one goes on for the night."""
    command = [sys.executable, "-m", "mtl_model.training.choose_precision", "--memory", str(memory)]
    answer = subprocess.run(
        command, input=model.model_dump_json(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return cast(ChosenPrecision, answer.strip())
