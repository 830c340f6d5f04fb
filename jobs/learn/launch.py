"""Starts the training processes by torchrun and waits for them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.stage import Run


def launch_training(run: Run, spec_file: Path) -> None:
    arguments = run.runtime.torchrun_arguments or ("--standalone",)
    processes = str(run.scenario.model.training.num_processes)
    command = [sys.executable, "-m", "torch.distributed.run", *arguments, "--nproc-per-node", processes,
               "-m", "mtl_model.training.train", "--spec", str(spec_file)]  # fmt: skip
    run_to_its_end(command, {**os.environ, "OMP_NUM_THREADS": "1"})


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
