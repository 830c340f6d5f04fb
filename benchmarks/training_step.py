"""The training step against torch-rechub and deepctr-torch, on batches that are in memory already.

python -m benchmarks.training_step [--quick] [--only "mmoe 1M ids fp32" ...]

Each line of JSON has rows/s, or peak memory, of ours and of the faster rival; a ratio is the median of those
of the rounds. The first run makes `.bench-venv` for the rivals.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from benchmarks.bench_venv import prepare_bench_venv
from benchmarks.contestants import Contestant, Measurement, measure_by_turns, median_ratio, write_result
from benchmarks.workload import Workload

NUM_THREADS = 2
NUM_ROUNDS = 5
STEPS_PER_ROUND = 4
RIVALS = {
    "mmoe": ("torch-rechub", "deepctr-torch"),
    "ple": ("torch-rechub", "deepctr-torch"),
    "aitm": ("torch-rechub",),  # deepctr-torch has none
}
SIZES = {"1M": 1_000_000, "10M": 10_000_000}


def make_workloads(quick: bool) -> dict[str, Workload]:
    """By name; `quick` ones are small, to see that they run."""
    factor = 100 if quick else 1
    sizes = {f"{architecture} {size} ids": (architecture, size) for architecture in RIVALS for size in SIZES}
    return {
        f"{name} fp32": Workload(architecture, SIZES[size] // factor, batch_size=256 if quick else 4096)
        for name, (architecture, size) in sizes.items()
    }


def compare(name: str, workload: Workload, num_rounds: int, num_steps: int) -> None:
    bench_python = prepare_bench_venv()
    contestants = {"nightshelf": Contestant("nightshelf", sys.executable, workload, 1, NUM_THREADS)}
    for rival in RIVALS[workload.architecture]:
        contestants[rival] = Contestant(rival, bench_python, workload, 1, NUM_THREADS)
    measured = measure_by_turns(contestants, num_rounds, num_steps)
    ours = measured.pop("nightshelf")
    fastest = min(measured, key=lambda rival: measured[rival].median)
    _write(name, ours, measured[fastest], fastest, workload)


def _write(name: str, ours: Measurement, rival: Measurement, rival_name: str, workload: Workload) -> None:
    ratio = median_ratio(rival.seconds, ours.seconds)
    rows = workload.batch_size
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
    parser.add_argument("--only", nargs="+", choices=workloads, metavar="NAME", help=f"of {list(workloads)}")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO)
    for name, workload in make_workloads(arguments.quick).items():
        if arguments.only is None or name in arguments.only:
            compare(name, workload, 1 if arguments.quick else NUM_ROUNDS, STEPS_PER_ROUND)


if __name__ == "__main__":
    main()
