"""The training step against torch-rechub and deepctr-torch, on batches that are in memory already.

python -m benchmarks.training_step [--quick] [--processor-time] [--only "mmoe 1M ids" ...]

Each line of JSON has rows/s, or peak memory, of ours in bf16 or fp32 and of the faster rival in fp32, as its
users run it; a ratio is the median of those of the rounds. Lines "bf16, both" have torch-rechub under
bf16 autocast, too. The first run makes `.bench-venv` for the rivals. With
--processor-time each has one thread and is measured by its processor time: for a machine that is not quiet.
"""

import argparse
import logging
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench_venv import prepare_bench_venv
from benchmarks.contestants import Contestant, Measurement, measure_by_turns, median_ratio, write_result
from benchmarks.workload import Workload

NUM_THREADS = 2
NUM_ROUNDS = 5
STEPS_PER_ROUND = 4
PRECISIONS = ("bf16", "fp32")
RIVALS = {
    "mmoe": ("torch-rechub", "deepctr-torch"),
    "ple": ("torch-rechub", "deepctr-torch"),
    "aitm": ("torch-rechub",),  # deepctr-torch has none
}
SIZES = {"1M": 1_000_000, "10M": 10_000_000}
RIVAL_IN_BF16 = ("torch-rechub", "1M")  # the rival and the size at which autocast is tried on it


def make_workloads(quick: bool) -> dict[str, Workload]:
    """By name; `quick` ones are small, to see that they run."""
    factor = 100 if quick else 1
    return {
        f"{architecture} {size} ids": Workload(
            architecture, SIZES[size] // factor, batch_size=256 if quick else 4096
        )
        for architecture in RIVALS
        for size in SIZES
    }


def compare(name: str, workload: Workload, num_rounds: int, clock: str) -> None:
    measured = measure_by_turns(_start(name, workload, clock), num_rounds, STEPS_PER_ROUND)
    rivals = {rival: measured[rival] for rival in RIVALS[workload.architecture]}
    fastest = min(rivals, key=lambda rival: rivals[rival].median)
    for precision in PRECISIONS:
        _write(f"{name} {precision}", measured[precision], rivals[fastest], fastest, workload.batch_size)
    if "rival bf16" in measured:
        ours, rival = (measured[of].seconds for of in ("bf16", "rival bf16"))
        rates = [workload.batch_size / statistics.median(seconds) for seconds in (ours, rival)]
        unit = f"rows/s, against {RIVAL_IN_BF16[0]} under bf16 autocast"
        write_result(f"{name} bf16, both", rates[0], rates[1], unit, ratio=median_ratio(rival, ours))


def _start(name: str, workload: Workload, clock: str) -> dict[str, Contestant]:
    bench_python = prepare_bench_venv()
    rival_in_bf16, size = RIVAL_IN_BF16

    def start(contestant: str, python: Path | str, precision: str) -> Contestant:
        num_threads = NUM_THREADS if clock == "wall" else 1
        return Contestant(contestant, python, workload._replace(precision=precision), 1, num_threads, clock)

    contestants = {precision: start("nightshelf", sys.executable, precision) for precision in PRECISIONS}
    for rival in RIVALS[workload.architecture]:
        contestants[rival] = start(rival, bench_python, "fp32")
    if f" {size} " in name:
        contestants["rival bf16"] = start(rival_in_bf16, bench_python, "bf16")
    return contestants


def _write(name: str, ours: Measurement, rival: Measurement, rival_name: str, rows: int) -> None:
    ratio = median_ratio(rival.seconds, ours.seconds)
    unit = f"rows/s, against {rival_name}"
    write_result(name, rows / ours.median, rows / rival.median, unit, ratio=ratio)
    cost_ratio = ours.peak_mib / rival.peak_mib
    write_result(
        f"{name} memory", ours.peak_mib, rival.peak_mib, f"MiB, against {rival_name}", cost_ratio=cost_ratio
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workloads = make_workloads(quick=False)
    parser.add_argument("--quick", action="store_true", help="small tables and batches, one round")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    parser.add_argument("--only", nargs="+", choices=workloads, metavar="NAME", help=f"of {list(workloads)}")
    parser.add_argument("--processor-time", action="store_true", help="one thread each, its processor time")
    arguments = parser.parse_args(argv)
    clock = "processor" if arguments.processor_time else "wall"
    logging.basicConfig(level=logging.INFO)
    for name, workload in make_workloads(arguments.quick).items():
        if arguments.only is None or name in arguments.only:
            compare(name, workload, 1 if arguments.quick else NUM_ROUNDS, clock)


if __name__ == "__main__":
    main()
