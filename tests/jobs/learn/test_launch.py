import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.learn.launch import run_to_its_end

PARENT = """
import os, sys
from jobs.learn.launch import run_to_its_end

torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
run_to_its_end([*torchrun, sys.argv[1]], os.environ)
"""
WORKER = """
import os, pathlib, sys, time

pathlib.Path(__file__).with_suffix("." + os.environ["RANK"]).touch()
time.sleep(600)
"""


def test_a_termination_of_the_command_ends_the_training_processes_too(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, worker])
    deadline = time.monotonic() + 120
    while not all(worker.with_suffix(f".{rank}").exists() for rank in (0, 1)):
        assert parent.poll() is None
        assert time.monotonic() < deadline, "torchrun has not started its processes"
        time.sleep(0.1)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 3

    parent.send_signal(signal.SIGTERM)

    assert parent.wait(timeout=60) == 128 + signal.SIGTERM
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_a_failure_names_the_command() -> None:
    with pytest.raises(subprocess.CalledProcessError, match=r"raise SystemExit\(3\).* exit status 3"):
        run_to_its_end([sys.executable, "-c", "raise SystemExit(3)"], {})
