"""How time and memory grow with the log: `shop` at 2, 6 and 20 million events, ingest also at 60 million.

python -m benchmarks.scaling [--quick] [--json] [--work-dir DIR] [--only NAME ...] [--through STAGE]

Users, items and events grow alike over the same days, so that a user has as many events in each log; each
is loaded into an empty home in one go, after a small one that warms up the session. Logs and measurements
stay in the work dir: with --only it can be measured in pieces, and the lines tell of all measured so far.
An exponent is the slope of log(seconds) over log(events) by least squares; also that of the processor time of
all processes, which other work on the machine disturbs less. Memory is that of all processes together. Of
skewed logs a line has the slowest and the median task of the Spark stage where their ratio is largest, among
stages of several tasks of which one took a second.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_venv import REPO
from benchmarks.process_tree import sampled_memory
from benchmarks.scaling_logs import STAGES, Log, make_log
from benchmarks.scaling_plot import draw_scaling

logger = logging.getLogger(__name__)

MEMORY_GIB = 6.0
SHORTEST_TASK_MS = 1_000  # of two shorter tasks the longer tells of the machine, not of the data


LOGS = {
    "60M": Log(60_000_000, ("ingest",)),  # first, when no other log has filled the processes' memory
    "2M": Log(2_000_000),
    "6M": Log(6_000_000),
    "20M": Log(20_000_000),
    "skew user": Log(6_000_000, heavy_user=0.1),
    "skew item": Log(6_000_000, hot_item=0.5),
}
QUICK_LOGS = {"2M": Log(5_000, days=4), "6M": Log(20_000, days=4)}
WARM_UP = Log(20_000, days=4)


class Bench:
    """The work dir, and one worker process with a Spark session for all that is measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {**os.environ, "PYTHONPATH": str(REPO)}
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scaling_worker"],
            cwd=REPO, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def measure(self, name: str, log: Log) -> dict[str, Any]:
        """Builds the log's tables in a home that is removed after; keeps the result in the work dir."""
        config = log.config()
        path = make_log(self.folder, name, config)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="home-") as home, sampled_memory() as peak:
            task = {
                "log": str(path),
                "home": f"{home}/home",
                "last_day": str(config.last_day),
                "stages": log.stages,
            }
            stages = self._ask(task)
        measured = {"events": config.events, "peak_mib": peak.mib, "stages": stages}
        logger.info("%s: %s", name, {stage: of["seconds"] for stage, of in stages.items()})
        return measured

    def close(self) -> None:
        if self.worker.stdin:
            self.worker.stdin.close()
        self.worker.wait()

    def _ask(self, task: Mapping[str, Any]) -> dict[str, Any]:
        if self.worker.stdin is None or self.worker.stdout is None:
            raise RuntimeError("the worker has no pipes")
        self.worker.stdin.write(json.dumps(task) + "\n")
        self.worker.stdin.flush()
        answer = self.worker.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended with code {self.worker.wait()}: its errors are above")
        return dict(json.loads(answer))


def fit_exponent(events: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of log(seconds) over log(events), by least squares."""
    slope, _ = np.polyfit(np.log(events), np.log(seconds), 1)
    return float(slope)


def figures(measured: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One figure for each stage's exponent, for the memory, and for each stage of each skewed log."""
    found = []
    for clock, suffix in (("seconds", ""), ("processor_seconds", " of processor time")):
        for stage, points in seconds_by_stage(measured, clock).items():
            if len(points) > 1:
                sizes = ", ".join(f"{events / 1e6:g}M" for events in points)
                exponent = fit_exponent(list(points), list(points.values()))
                unit = f"against linear, at {sizes} events"
                found.append(_figure(f"{stage} exponent{suffix}", exponent, 1.0, unit))
    if "60M" in measured:
        gib = measured["60M"]["peak_mib"] / 1024
        found.append(_figure("ingest 60M memory", gib, MEMORY_GIB, "GiB of all processes, against the aim"))
    if {"simulate 2M", "simulate 20M"} <= set(measured):
        large, small = (measured[f"simulate {name}"]["peak_mib"] for name in ("20M", "2M"))
        found.append(_figure("simulate 20M memory", large, small, "MiB of all processes, against 2M events"))
    for name in ("skew user", "skew item"):
        for stage, of_stage in measured.get(name, {"stages": {}})["stages"].items():
            found += _skew_figure(f"{name} slowest/median {stage}", of_stage["spark_stages"])
    return found


def seconds_by_stage(
    measured: Mapping[str, Mapping[str, Any]], clock: str = "seconds"
) -> dict[str, dict[int, float]]:
    """Stage -> events of the logs without skew, the smallest first -> seconds by a clock."""
    even = sorted(
        (of for name, of in measured.items() if "stages" in of and not name.startswith("skew")),
        key=lambda of: of["events"],
    )
    return {
        stage: {of["events"]: of["stages"][stage][clock] for of in even if stage in of["stages"]}
        for stage in STAGES
    }


def _skew_figure(name: str, spark_stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """None where no Spark stage has several tasks, one of them of a second: there is nothing to be slow."""
    long = [of for of in spark_stages if of["tasks"] > 1 and of["slowest_ms"] >= SHORTEST_TASK_MS]
    if not long:
        return []
    worst = max(long, key=lambda of: of["slowest_ms"] / max(of["median_ms"], 1))
    return [
        _figure(name, worst["slowest_ms"] / 1000, worst["median_ms"] / 1000, f"s, of {worst['tasks']} tasks")
    ]


def _figure(name: str, ours: float, rival: float, unit: str) -> dict[str, Any]:
    cost_ratio = round(ours / rival, 3)
    return {
        "name": name,
        "ours": round(ours, 3),
        "rival": round(rival, 3),
        "cost_ratio": cost_ratio,
        "unit": unit,
    }


def run(folder: Path, logs: Mapping[str, Log], only: Sequence[str], warm_up: bool) -> None:
    kept = folder / "measured"
    kept.mkdir(parents=True, exist_ok=True)
    for name in only:
        make_log(folder, name, logs[name].config())
    bench = Bench(folder)
    try:
        if warm_up:
            bench.measure(
                "warm-up", WARM_UP._replace(stages=max((logs[name].stages for name in only), key=len))
            )
        for name in only:
            (kept / f"{name}.json").write_text(json.dumps(bench.measure(name, logs[name]), indent=1) + "\n")
    finally:
        bench.close()
    measured = {file.stem: json.loads(file.read_text()) for file in sorted(kept.glob("*.json"))}
    for figure in figures(measured):
        sys.stdout.write(json.dumps(figure) + "\n")
    draw_scaling(seconds_by_stage(measured), folder / "scaling.svg")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small logs of few days, to see that it runs")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    parser.add_argument(
        "--work-dir", type=Path, help="for logs and measurements; default: a folder of its own, removed after"
    )
    parser.add_argument(
        "--only", nargs="+", choices=LOGS, metavar="NAME", help=f"of {list(LOGS)}; quick ones are 2M and 6M"
    )
    parser.add_argument("--through", choices=STAGES, default=STAGES[-1], help="the last stage to be measured")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO)
    logs = QUICK_LOGS if arguments.quick else LOGS
    through = STAGES[: STAGES.index(arguments.through) + 1]
    logs = {
        name: log._replace(stages=tuple(s for s in log.stages if s in through)) for name, log in logs.items()
    }
    only = [name for name in logs if name in (arguments.only or logs)]
    with tempfile.TemporaryDirectory(prefix="scaling-") as own:
        run((arguments.work_dir or Path(own)).resolve(), logs, only, warm_up=not arguments.quick)


if __name__ == "__main__":
    main()
