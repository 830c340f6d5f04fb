import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.learn.launch import count_processes, run_to_its_end, torchrun_command

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


@pytest.mark.parametrize(
    ("arguments", "per_node"),
    [
        ((), "4"),
        (("--nnodes", "2", "--rdzv-backend", "c10d"), "2"),
        (("--nnodes=4", "--node-rank=0"), "1"),
        (("--nnodes 2 --node-rank 1",), "2"),
    ],
)
def test_each_node_starts_its_share_of_the_processes(arguments: tuple[str, ...], per_node: str) -> None:
    command = torchrun_command(arguments, 4, 0, [Path("spec.json")])

    assert command[command.index("--nproc-per-node") + 1] == per_node
    assert command[3:4] == list(arguments[:1] or ["--standalone"])


@pytest.mark.parametrize(
    ("num_processes", "num_gpus", "num_nodes", "started"),
    [
        pytest.param(2, 1, 1, 1, id="one GPU"),
        pytest.param(2, 8, 1, 2, id="no more than asked for"),
        pytest.param(2, 2, 1, 2, id="a GPU each"),
        pytest.param(4, 0, 1, 4, id="no GPU"),
        pytest.param(8, 2, 2, 2, id="two nodes of two GPUs"),
        pytest.param(8, 4, 2, 4, id="two nodes of four GPUs"),
        pytest.param(8, 0, 2, 4, id="two nodes without"),
    ],
)
def test_each_process_has_a_gpu_of_its_own_where_there_are_gpus(
    num_processes: int, num_gpus: int, num_nodes: int, started: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert count_processes(num_processes, num_gpus, num_nodes) == started

    is_fewer = started * num_nodes < num_processes
    assert [f"{num_gpus} GPU" in message for message in caplog.messages] == [True] * is_fewer


def test_the_command_starts_no_more_processes_than_gpus() -> None:
    command = torchrun_command((), 2, 1, [Path("spec.json")])

    assert command[command.index("--nproc-per-node") + 1] == "1"


@pytest.mark.parametrize(
    ("num_nodes", "message"),
    [
        (
            "3",
            r"model.training.num_processes \(4\) must be a multiple of --nnodes \(3\) in torchrun_arguments",
        ),
        ("1:2", "--nnodes in torchrun_arguments must be a number, got '1:2'"),
        ("0", "--nnodes in torchrun_arguments must be a number, got '0'"),
    ],
)
def test_nodes_that_cannot_have_equal_shares_are_refused(num_nodes: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        torchrun_command(("--nnodes", num_nodes), 4, 0, [Path("spec.json")])
