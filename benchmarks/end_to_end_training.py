"""From Parquet on disk to weights on disk: ours against torch-rechub used as its README shows.

python -m benchmarks.end_to_end_training [--quick] [--only "mmoe 10M ids"]

Ours is a whole `torchrun` of two processes, theirs one process of two threads; start-up, one pass over the
rows and judging a few are part of both. Files hold ids as numbers that the rival need not encode; ours looks
them up in its vocabularies. Each line of JSON has rows/s; a ratio is the median of those of the rounds.
"""

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bench_venv import REPO, prepare_bench_venv
from benchmarks.contestants import median_ratio, write_result
from benchmarks.nightshelf_steps import write_spec
from benchmarks.reader_steps import ROW_GROUP_ROWS, make_examples
from benchmarks.workload import Workload

NUM_ROUNDS = 3
NUM_PROCESSES = 2
NUM_FILES = 4
STEPS_PER_FILE = 16  # of full batches
SIZES = {"mmoe 1M ids": 1_000_000, "mmoe 10M ids": 10_000_000}


def compare(name: str, workload: Workload, num_rounds: int) -> None:
    bench_python = prepare_bench_venv()
    num_rows = NUM_FILES * STEPS_PER_FILE * workload.batch_size
    seconds: dict[str, list[float]] = {"ours": [], "rival": []}
    with tempfile.TemporaryDirectory() as folder:
        spec = _write_files(workload, Path(folder))
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        train = [str(NUM_PROCESSES), "-m", "mtl_model.training.train", "--spec", str(spec)]
        rival = [str(bench_python), "-m", "benchmarks.torch_rechub_training", folder]
        for _ in range(num_rounds):
            seconds["ours"].append(_time([*torchrun, *train], num_threads=1))
            shutil.rmtree(Path(folder) / "model")
            workload_json = json.dumps(workload._asdict())
            seconds["rival"].append(_time([*rival, workload_json, str(NUM_PROCESSES)], NUM_PROCESSES))
    ours, rivals = (num_rows / statistics.median(seconds[of]) for of in ("ours", "rival"))
    ratio = median_ratio(seconds["rival"], seconds["ours"])
    write_result(f"{name} end to end", ours, rivals, "rows/s, against torch-rechub", ratio=ratio)


def _write_files(workload: Workload, folder: Path) -> Path:
    """Examples to train and to judge, and the JSON file of our spec."""
    of_files = {f"train/{index}.parquet": workload.batch_size * STEPS_PER_FILE for index in range(NUM_FILES)}
    of_files["validation/0.parquet"] = workload.batch_size
    for seed, (name, num_rows) in enumerate(of_files.items()):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        examples = make_examples(workload._replace(batch_size=num_rows), seed, ids_as_text=False)
        for column, values in (("sampling_rate", np.ones(num_rows)), ("user_id", np.arange(num_rows) % 999)):
            examples = examples.append_column(column, pa.array(values))  # judging reads them
        pq.write_table(examples, path, row_group_size=ROW_GROUP_ROWS, compression="zstd")
    one_process = workload._replace(batch_size=workload.batch_size // NUM_PROCESSES)
    files = {f"{part}_files": tuple(sorted((folder / part).iterdir())) for part in ("train", "validation")}
    path = folder / "spec.json"
    path.write_text(write_spec(one_process, NUM_PROCESSES, folder).model_copy(update=files).model_dump_json())
    return path


def _time(command: Sequence[str], num_threads: int) -> float:
    environment: Mapping[str, str] = os.environ | {
        "OMP_NUM_THREADS": str(num_threads),
        "PYTHONPATH": str(REPO),
    }
    started = time.perf_counter()
    completed = subprocess.run(
        command, cwd=REPO, env=environment, check=False, capture_output=True, text=True
    )
    if completed.returncode:
        raise RuntimeError(f"{command} ended with code {completed.returncode}: {completed.stderr[-2000:]}")
    return time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small tables and batches, one round")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    parser.add_argument("--only", nargs="+", choices=SIZES, metavar="NAME", help=f"of {list(SIZES)}")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO)
    for name in arguments.only or SIZES:
        workload = Workload("mmoe", SIZES[name], batch_size=4096)
        if arguments.quick:
            workload = workload._replace(num_ids=SIZES[name] // 1000, batch_size=64)
        compare(name, workload, 1 if arguments.quick else NUM_ROUNDS)


if __name__ == "__main__":
    main()
