"""What a balancer on the shared representation costs: its step against one of fixed weights, four tasks.

python -m benchmarks.balancing [--quick]

Each line of JSON has milliseconds per step; a ratio is the median of those of the rounds.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.contestants import Contestant, measure_by_turns, median_ratio, write_result
from benchmarks.workload import Workload

NUM_ROUNDS = 5
STEPS_PER_ROUND = 4
BALANCERS = ("mgda", "pcgrad", "nash_mtl", "upgrad")
WORKLOAD = Workload("mmoe", num_ids=1_000_000, batch_size=4096, num_tasks=4)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small table and batch, one round")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    arguments = parser.parse_args(argv)
    workload = WORKLOAD._replace(num_ids=10_000, batch_size=256) if arguments.quick else WORKLOAD
    contestants = {
        name: Contestant("nightshelf", sys.executable, workload._replace(balancing=name), 1, num_threads=2)
        for name in ("fixed", *BALANCERS)
    }
    measured = measure_by_turns(contestants, 1 if arguments.quick else NUM_ROUNDS, STEPS_PER_ROUND)
    fixed = measured.pop("fixed")
    for name, one in measured.items():
        cost_ratio = median_ratio(one.seconds, fixed.seconds)
        write_result(
            f"{name} / fixed step", 1000 * one.median, 1000 * fixed.median, "ms", cost_ratio=cost_ratio
        )


if __name__ == "__main__":
    main()
