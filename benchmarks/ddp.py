"""Weak scaling: two processes of one thread, each on a full batch, against one such process.

`apart` are two that do not speak to each other: what the machine would give if that took no time.

python -m benchmarks.ddp [--quick]
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.contestants import Contestant, measure_by_turns, median_ratio, write_result
from benchmarks.workload import Workload

NUM_ROUNDS = 5
STEPS_PER_ROUND = 4
APART = "2 processes apart"


def compare(workload: Workload, num_rounds: int) -> None:
    contestants = {
        name: Contestant("nightshelf", sys.executable, workload, count, num_threads=1, apart=name == APART)
        for name, count in (("one", 1), ("2 processes", 2), (APART, 2))
    }
    measured = measure_by_turns(contestants, num_rounds, STEPS_PER_ROUND)
    one, rows = measured.pop("one"), workload.batch_size
    for name, two in measured.items():
        ratio = 2 * median_ratio(one.seconds, two.seconds)
        rates = 2 * rows / two.median, rows / one.median
        write_result(f"{name} / 1 {workload.precision}", *rates, "rows/s", ratio=ratio)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small table and batch, one round")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    arguments = parser.parse_args(argv)
    workload = Workload("mmoe", num_ids=1_000_000, batch_size=4096)
    if arguments.quick:
        workload = Workload("mmoe", num_ids=10_000, batch_size=256)
    for precision in ("fp32", "bf16"):
        compare(workload._replace(precision=precision), 1 if arguments.quick else NUM_ROUNDS)


if __name__ == "__main__":
    main()
