"""Contestants in processes of their own, measured by turns: what disturbs the machine disturbs them all."""

import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench_venv import REPO
from benchmarks.workload import Workload


class Measurement(NamedTuple):
    """seconds: of one step, one figure per round. peak_mib: of resident memory, all processes together."""

    seconds: list[float]
    peak_mib: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Contestant:
    """One or more processes that take the same number of steps at the same time, each on a full batch.

    They train one model together, or, `apart`, each a model of its own.
    """

    def __init__(
        self,
        name: str,
        python: Path | str,
        workload: Workload,
        num_processes: int,
        num_threads: int,
        clock: str = "wall",
        apart: bool = False,
    ) -> None:
        module = [str(python), "-m", "benchmarks.step_worker"]
        self.command = [*module, name, str(num_threads), json.dumps(workload._asdict()), clock]
        port = _free_port()
        self.processes = [
            subprocess.Popen(
                self.command,
                cwd=REPO,
                env=_environment(rank, 1 if apart else num_processes, num_threads, port),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for rank in range(num_processes)
        ]

    def take_steps(self, num_steps: int) -> tuple[float, float]:
        """Seconds of the slowest process, for one step, and the peak memory of all."""
        for process in self.processes:
            if process.stdin is None or process.poll() is not None:
                raise RuntimeError(f"{self.command} ended with code {process.returncode}: run it to see why")
            process.stdin.write(f"{num_steps}\n")
            process.stdin.flush()
        answers = [json.loads(self._read_line(process)) for process in self.processes]
        seconds = max(answer["seconds"] for answer in answers) / num_steps
        return seconds, sum(answer["peak_mib"] for answer in answers)

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _read_line(self, process: subprocess.Popen[str]) -> str:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            raise RuntimeError(f"{self.command} ended with code {process.wait()}: run it to see why")
        return line


@contextmanager
def started(contestants: Mapping[str, Contestant]) -> Iterator[None]:
    with ExitStack() as stack:
        for contestant in contestants.values():
            stack.callback(contestant.close)
        yield


def measure_by_turns(
    contestants: Mapping[str, Contestant], num_rounds: int, num_steps: int
) -> dict[str, Measurement]:
    """`num_rounds` rounds in which each contestant takes `num_steps` steps, after a first step of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    peaks = dict.fromkeys(contestants, 0.0)
    with started(contestants):
        for contestant in contestants.values():
            contestant.take_steps(1)
        for _ in range(num_rounds):
            for name, contestant in contestants.items():
                step_seconds, peaks[name] = contestant.take_steps(num_steps)
                seconds[name].append(step_seconds)
    return {name: Measurement(seconds[name], peaks[name]) for name in contestants}


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """The median over rounds of the ratio within a round."""
    return statistics.median(top / bottom for top, bottom in zip(numerator, denominator, strict=True))


def write_result(name: str, ours: float, rival: float, unit: str, **factors: float) -> None:
    """One JSON line; `factors`: `ratio`, how many times better ours is, or `cost_ratio`, ours by theirs."""
    rounded = {key: round(value, 4) for key, value in factors.items()}
    digits = None if abs(ours) > 10 else 4  # rates and times, or qualities
    result = {"name": name, "ours": round(ours, digits), "rival": round(rival, digits)} | rounded
    result |= {"unit": unit}
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def _environment(rank: int, num_processes: int, num_threads: int, port: int) -> dict[str, str]:
    """Several processes find each other as if torchrun had started them."""
    environment = os.environ | {"OMP_NUM_THREADS": str(num_threads), "PYTHONPATH": str(REPO)}
    if num_processes > 1:
        group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num_processes, "MASTER_PORT": port}
        environment |= {key: str(value) for key, value in group.items()} | {"MASTER_ADDR": "127.0.0.1"}
    return environment


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
