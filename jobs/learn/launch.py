"""Starts the training processes by torchrun and waits for them."""

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from jobs.stage import Run

logger = logging.getLogger(__name__)


def launch_training(run: Run, *spec_files: Path) -> None:
    """Starts this node's processes; with several nodes torchrun waits for the others.

    The processes train one spec after the other: a start takes as long as a small training.

    Raises:
        ValueError: if the nodes cannot have equal shares.
    """
    arguments = run.runtime.torchrun_arguments
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    command = torchrun_command(arguments, run.scenario.model.training.num_processes, num_gpus, spec_files)
    if count_nodes(arguments) > 1:
        said = shlex.join(command)
        logger.info("start this on every other node, too, with its own --node-rank if one is given: %s", said)
    run_to_its_end(command, {**os.environ, "OMP_NUM_THREADS": "1"})


def torchrun_command(
    arguments: Sequence[str], num_processes: int, num_gpus: int, spec_files: Sequence[Path]
) -> list[str]:
    of_node = count_processes(num_processes, num_gpus, count_nodes(arguments))
    return [sys.executable, "-m", "torch.distributed.run", *(arguments or ("--standalone",)),
            "--nproc-per-node", str(of_node),
            "-m", "mtl_model.training.train", "--spec", *map(str, spec_files)]  # fmt: skip


def count_processes(num_processes: int, num_gpus: int, num_nodes: int) -> int:
    """How many of `training.num_processes` this node starts: its share, but one per GPU where it has any.

    Fewer take the same global batches: `num_processes` stays the number of streams that make them.

    Raises:
        ValueError: if the nodes cannot have equal shares.
    """
    if num_processes % num_nodes:
        raise ValueError(
            f"model.training.num_processes ({num_processes}) must be a multiple of --nnodes ({num_nodes}) in "
            "torchrun_arguments: each node starts an equal share of them"
        )
    share = num_processes // num_nodes
    if not 0 < num_gpus < share:
        return share
    logger.warning(
        "model.training.num_processes is %d, %d of them on this node, which has %d GPUs: starting %d, which "
        "take the same batches",
        num_processes,
        share,
        num_gpus,
        num_gpus,
    )
    return num_gpus


def count_nodes(arguments: Sequence[str]) -> int:
    """What torchrun's arguments say of --nnodes, which has a default of 1.

    Raises:
        ValueError: if it is not one number.
    """
    found = re.findall(r"--nnodes[= ](\S+)", " ".join(arguments)) or ["1"]
    if not re.fullmatch(r"[1-9]\d*", found[-1]):
        raise ValueError(
            f"--nnodes in torchrun_arguments must be a number, got {found[-1]!r}: the nodes share the "
            "processes evenly"
        )
    return int(found[-1])


def run_to_its_end(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Runs a command that does not outlive us: a SIGTERM to this process ends both, with exit code 143.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """

    def stop(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with subprocess.Popen(command, env=environment) as process:
            try:
                code = process.wait()
            except BaseException:
                process.terminate()  # torchrun passes it on to the processes that it has started
                raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if code:
        raise subprocess.CalledProcessError(code, command)
