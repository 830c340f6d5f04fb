"""What reading costs: training from files against training on one batch, and reading against a plain scan.

python -m benchmarks.readers [--quick] [--json]

Each line of JSON has rows/s; a ratio is the median of those of the rounds.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from benchmarks.contestants import Contestant, measure_by_turns, median_ratio, write_result
from benchmarks.workload import Workload

NUM_ROUNDS = 5
STEPS_OF_TRAINING = 320  # ten pools of the shuffling, one of which is ready before the first step
STEPS_OF_READING = 128
NETWORK = Workload(  # as large as that of conf/grocery.yaml: the smaller the network, the more reading costs
    "mmoe", num_ids=1_000_000, batch_size=4096, num_experts=4, hidden_dims=(64, 32), tower_dim=16
)
COMPARISONS = {
    "arrow / frozen batch": ("train by arrow", "train frozen", STEPS_OF_TRAINING),
    "petastorm / frozen batch": ("train by petastorm", "train frozen", STEPS_OF_TRAINING),
    "arrow / pyarrow scan into tensors": ("read by arrow", "scan", STEPS_OF_READING),
}


def compare(name: str, workload: Workload, num_rounds: int, most_steps: int) -> None:
    ours_name, rival_name, num_steps = COMPARISONS[name]
    contestants = {
        contestant: Contestant(contestant, sys.executable, workload, num_processes=1, num_threads=1)
        for contestant in (ours_name, rival_name)
    }
    measured = measure_by_turns(contestants, num_rounds, min(num_steps, most_steps))
    ours, rival = measured[ours_name], measured[rival_name]
    ratio = median_ratio(rival.seconds, ours.seconds)
    rows = workload.batch_size
    write_result(name, rows / ours.median, rows / rival.median, "rows/s", ratio=ratio)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small table and batch, one round")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    parser.add_argument(
        "--only", nargs="+", choices=COMPARISONS, metavar="NAME", help=f"of {list(COMPARISONS)}"
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO)
    workload = NETWORK._replace(num_ids=10_000, batch_size=256) if arguments.quick else NETWORK
    num_rounds, most_steps = (1, 20) if arguments.quick else (NUM_ROUNDS, STEPS_OF_TRAINING)
    for name in arguments.only or COMPARISONS:
        compare(name, workload, num_rounds, most_steps)


if __name__ == "__main__":
    main()
