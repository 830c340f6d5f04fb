import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from jobs.learn.launch import torchrun_command
from mtl_model.config import TrainSpec
from tests.mtl_model.training.test_train import same, weights


def train_on_nodes(spec: TrainSpec, folder: Path, nodes: Sequence[Sequence[str]]) -> None:
    """One torchrun per node, all at once, as the launcher starts them."""
    spec_file = folder / f"{spec.output_dir.name}.json"
    spec_file.write_text(spec.model_dump_json())
    commands = [
        torchrun_command(arguments, spec.model.training.num_processes, 0, [spec_file]) for arguments in nodes
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    agents = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    try:
        for agent in agents:
            _, errors = agent.communicate(timeout=300)
            assert agent.returncode == 0, errors
    finally:
        for agent in agents:
            agent.terminate()


def free_endpoint() -> tuple[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    return str(host), str(port)


@pytest.mark.parametrize("rendezvous", ["c10d", pytest.param("static", marks=pytest.mark.acceptance)])
def test_two_nodes_of_one_process_end_with_the_weights_of_one_node_of_two(
    make_spec: Callable[..., TrainSpec], tmp_path: Path, rendezvous: str
) -> None:
    host, port = free_endpoint()
    if rendezvous == "c10d":
        nodes = [("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{host}:{port}", "--local-addr", host)] * 2
    else:
        nodes = [("--node-rank", rank, "--master-addr", host, "--master-port", port) for rank in ("0", "1")]
    one, two = (make_spec(name, 600, num_processes=2, epochs=2) for name in ("one", "two"))

    train_on_nodes(one, tmp_path, [()])
    train_on_nodes(two, tmp_path, [("--nnodes", "2", *arguments) for arguments in nodes])

    assert same(weights(one), weights(two))
