"""One contestant in a process of its own: for each number of steps on stdin, takes them and answers in JSON.

python -m benchmarks.step_worker CONTESTANT THREADS WORKLOAD CLOCK, the workload as a JSON object, the clock
"wall" or "processor".
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.workload import Workload

TakeSteps = Callable[[int], None]
CONTESTANTS = {
    "nightshelf": ("benchmarks.nightshelf_steps", "prepare"),
    "torch-rechub": ("benchmarks.torch_rechub_steps", "prepare"),
    "deepctr-torch": ("benchmarks.deepctr_torch_steps", "prepare"),
    "train frozen": ("benchmarks.reader_steps", "train_frozen"),
    "train by arrow": ("benchmarks.reader_steps", "train_by_arrow"),
    "train by petastorm": ("benchmarks.reader_steps", "train_by_petastorm"),
    "read by arrow": ("benchmarks.reader_steps", "read_by_arrow"),
    "scan": ("benchmarks.reader_steps", "scan"),
}


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def main(contestant: str, num_threads: str, workload_json: str, clock_name: str) -> None:
    clock = CLOCKS[clock_name]
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a rival prints is no answer
    workload = json.loads(workload_json)
    workload["hidden_dims"] = tuple(workload["hidden_dims"])
    module, function = CONTESTANTS[contestant]
    prepare = getattr(importlib.import_module(module), function)
    prepared: AbstractContextManager[TakeSteps] = prepare(Workload(**workload), int(num_threads))
    with prepared as take_steps:
        for line in sys.stdin:
            started = clock()
            take_steps(int(line))
            seconds = clock() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            answers.write(json.dumps({"seconds": seconds, "peak_mib": peak}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
