"""Weak scaling: two processes of one thread, each on a full batch, against one such process.

python -m benchmarks.ddp [--quick]
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.contestants import Contestant, measure_by_turns, median_ratio, write_result
from benchmarks.workload import Workload

NUM_ROUNDS = 5
STEPS_PER_ROUND = 4


def compare(workload: Workload, num_rounds: int) -> None:
    contestants = {
        str(count): Contestant("nightshelf", sys.executable, workload, count, num_threads=1)
        for count in (1, 2)
    }
    measured = measure_by_turns(contestants, num_rounds, STEPS_PER_ROUND)
    one, two = measured["1"], measured["2"]
    ratio = 2 * median_ratio(one.seconds, two.seconds)
    rows, name = workload.batch_size, f"2 processes / 1 {workload.precision}"
    write_result(name, 2 * rows / two.median, rows / one.median, "rows/s", ratio=ratio)


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
