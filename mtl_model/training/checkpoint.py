"""The state of an unfinished training, so that a killed run goes on where it stopped and ends the same.

A checkpoint is a folder of safetensors and JSON with a manifest; it appears by a rename, whole or not at all.
The order of the rows and the dropout masks depend on the step alone: its number is all the state they have.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from mtl_model.balancing.balancer import Balancer
from mtl_model.model_folder import verify_manifest, write_manifest
from mtl_model.remove_folder import remove_folder
from mtl_model.training.early_stopping import EarlyStopping

logger = logging.getLogger(__name__)

KEPT_CHECKPOINTS = 2  # the one before the newest serves where the newest is damaged


class TrainingState(NamedTuple):
    """What the steps change."""

    model: nn.Module
    optimizer: optim.Optimizer
    balancer: Balancer
    early_stopping: EarlyStopping | None = None


def save_checkpoint(folder: Path, step: int, state: TrainingState, spec_digest: str) -> None:
    """Writes the state after `step` steps, then removes all of this training but the one before it.

    Those of other specs stay: their trainings may be gone back to.
    """
    partial = folder / "partial"
    remove_folder(partial, folder)
    partial.mkdir(parents=True)
    save_file(state.model.state_dict(), partial / "model.safetensors")
    save_file(_optimizer_tensors(state.model, state.optimizer), partial / "optimizer.safetensors")
    balance = {name: values.tolist() for name, values in state.balancer.state.items()}
    numbers = {"step": step, "spec_digest": spec_digest, "balancer": balance}
    if state.early_stopping:
        save_file(state.early_stopping.best_weights, partial / "best.safetensors")
        numbers["epoch_values"] = state.early_stopping.values
    (partial / "state.json").write_text(json.dumps(numbers))
    write_manifest(partial)
    of_spec = spec_digest[:8]
    whole = folder / f"step-{step:08d}-{of_spec}"
    remove_folder(whole, folder)  # a damaged one, which has been passed over
    partial.rename(whole)
    for path in sorted(folder.glob(f"step-*-{of_spec}"), reverse=True)[KEPT_CHECKPOINTS:]:
        remove_folder(path, folder)


def load_checkpoint(
    folder: Path, state: TrainingState, spec_digest: str, prepare: Callable[[int], None] = lambda step: None
) -> int:
    """Restores the newest state of this very training and returns its step; 0 where there is none.

    `prepare` is told the step before, for shapes that depend on it.
    """
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            verify_manifest(path)
        except ValueError as error:
            logger.warning("damaged checkpoint passed over: %s", error)
            continue
        numbers = json.loads((path / "state.json").read_bytes())
        if numbers["spec_digest"] != spec_digest:
            logger.info("checkpoint %s belongs to another spec: starting anew", path)
            continue
        prepare(int(numbers["step"]))
        state.model.load_state_dict(load_file(path / "model.safetensors"))
        _restore_optimizer(state.model, state.optimizer, load_file(path / "optimizer.safetensors"))
        state.balancer.state = {name: np.array(values) for name, values in numbers["balancer"].items()}
        if state.early_stopping:
            state.early_stopping.best_weights = load_file(path / "best.safetensors")
            state.early_stopping.values = numbers["epoch_values"]
        return int(numbers["step"])
    return 0


def _optimizer_tensors(model: nn.Module, optimizer: optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}/{name}": tensor
        for name, parameter in model.named_parameters()
        for key, tensor in optimizer.state[parameter].items()
    }


def _restore_optimizer(model: nn.Module, optimizer: optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for joined, tensor in tensors.items():
        key, name = joined.split("/", maxsplit=1)
        device = parameters[name].device
        optimizer.state[parameters[name]][key] = tensor.to(device)
