"""Trains the joint model; started by torchrun.

torchrun --standalone --nproc-per-node 2 -m mtl_model.training.train --spec spec.json

Trains on the spec's train files, judges on its validation files, passes once over its final files, and saves.
A killed training goes on from its last checkpoint when it is started again with the same spec.
"""

import argparse
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mtl_model.config import DataSpec, TrainSpec
from mtl_model.data.batches import count_steps, load_reader, shuffled_batches
from mtl_model.data.encode import Batch, Encoder
from mtl_model.data.prefetch import prefetch
from mtl_model.evaluation.evaluate import judge_files, measure
from mtl_model.model import build_model
from mtl_model.model_folder import ModelDescription, read_vocabularies, write_manifest, write_model
from mtl_model.predict import Predictor
from mtl_model.seeds import derive_seed
from mtl_model.training.checkpoint import load_checkpoint, save_checkpoint
from mtl_model.training.losses import count_divisors, joint_loss
from mtl_model.training.optimizer import build_optimizer, learning_rate_at, set_learning_rate
from mtl_model.training.process_group import ProcessGroup, join_process_group
from mtl_model.training.progress import ProgressReporter, StepReport

logger = logging.getLogger(__name__)

PREFETCHED_BATCHES = 8


class Pass(NamedTuple):
    """One reading of some files, from step `first_step` on."""

    files: tuple[Path, ...]
    epoch: int
    first_step: int
    num_steps: int
    is_final: bool
