"""What `training.precision: auto` is on a machine: bf16 where it is clearly faster than fp32.

python -m mtl_model.training.choose_precision --memory FOLDER < MODEL_JSON

The machine is asked, not its flags: the largest product of a step is timed in both. The answer is kept below
FOLDER, so that trainings of one shape on one type of machine are all in one precision however busy it is.
"""

import argparse
import fcntl
import functools
import hashlib
import json
import logging
import math
import platform
import re
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch

from mtl_model.config import ModelConfig, TrainSpec
from mtl_model.model import build_sharing
from mtl_model.training.process_group import ProcessGroup

logger = logging.getLogger(__name__)

ChosenPrecision = Literal["fp32", "bf16"]

MIN_SPEEDUP = 1.3  # of a product: the rest of a step gains nothing, and casts take time
TIMED_SECONDS, MIN_ROUNDS = 0.05, 3
CPU_INFO = Path("/proc/cpuinfo")
CPU_KEYS = (
    "vendor_id",
    "model name",
    "model",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU part",
    "Features",
)


class Product(NamedTuple):
    """(rows, inputs) by (inputs, outputs)."""

    rows: int
    inputs: int
    outputs: int


class ProductSeconds(NamedTuple):
    fp32: float
    bf16: float

    @property
    def speedup(self) -> float:
        """Of bf16."""
        return self.fp32 / self.bf16

    @property
    def choice(self) -> ChosenPrecision:
        return "bf16" if self.speedup >= MIN_SPEEDUP else "fp32"


def largest_product(model: ModelConfig) -> Product:
    """Of the sharing's wide layers, for one stream's rows; a list counts as wide as its embeddings."""
    of_sharing = [field.name for field in (*model.scalar_slot_fields, *model.pooled_fields)]
    slots = [model.slot_of(name) for name in of_sharing if name not in model.factored_fields]
    dims = [model.embedding_dim_of(model.embedded_fields[slot]) for slot in slots]
    with torch.device("meta"):
        sharing = build_sharing(model, sum(dims) + len(model.numeric_fields))
    weights = [weight for weight in sharing.parameters() if weight.dim() == 2]
    outputs, inputs = max(weights, key=torch.Tensor.numel).shape
    return Product(model.training.global_batch_size // model.training.num_processes, inputs, outputs)


@functools.cache
def time_product(product: Product, device: torch.device) -> ProductSeconds:
    """The shortest of several turns each, which other work on the machine disturbs least; on one thread."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _time_by_turns(product, device)
    finally:
        torch.set_num_threads(num_threads)


def _time_by_turns(product: Product, device: torch.device) -> ProductSeconds:
    rows, inputs, outputs = product
    factors = [
        (
            torch.ones(rows, inputs, dtype=kind, device=device),
            torch.ones(outputs, inputs, dtype=kind, device=device),
        )
        for kind in (torch.float32, torch.bfloat16)
    ]
    shortest, started = [math.inf] * len(factors), time.perf_counter()
    for turn in count():
        for kind, (left, right) in enumerate(factors):
            seconds = _time_once(left, right)
            if turn:  # the first one prepares
                shortest[kind] = min(shortest[kind], seconds)
        if turn >= MIN_ROUNDS and time.perf_counter() - started > TIMED_SECONDS:
            break
    return ProductSeconds(*shortest)


def _time_once(left: torch.Tensor, right: torch.Tensor) -> float:
    started = time.perf_counter()
    torch.mm(left, right.T)
    if left.is_cuda:
        torch.cuda.synchronize(left.device)
    return time.perf_counter() - started


def choose_precision(product: Product, device: torch.device) -> ChosenPrecision:
    seconds = time_product(product, device)
    logger.info(
        "training.precision is auto: %s here, where bf16 makes the product of %s in %.3f ms, fp32 in %.3f",
        seconds.choice,
        tuple(product),
        1000 * seconds.bf16,
        1000 * seconds.fp32,
    )
    return seconds.choice


def remembered_precision(product: Product, device: torch.device, memory: Path) -> ChosenPrecision:
    """The choice for this shape on this type of machine, which the first to ask has made."""
    asked = {"machine": name_machine(device), "torch": torch.__version__, "product": product._asdict()}
    path = memory / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}.json"
    memory.mkdir(parents=True, exist_ok=True)
    with (memory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            choice = choose_precision(product, device)
            seconds = time_product(product, device)._asdict()
            partial = path.with_suffix(".partial")
            content = {"precision": choice, "seconds": seconds} | asked
            partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
            partial.replace(path)
    return cast(ChosenPrecision, json.loads(path.read_bytes())["precision"])


def name_machine(device: torch.device, cpu_info: Path = CPU_INFO) -> str:
    """Of a GPU its name, of a processor its name and a hash of what it can do."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    text = cpu_info.read_text(encoding="utf-8") if cpu_info.is_file() else ""
    found = dict(reversed(re.findall(r"^([\w ]+?)\s*: (.*)$", text, flags=re.MULTILINE)))  # the first wins
    known = [found.get(key, "") for key in CPU_KEYS]
    name = found.get("model name") or platform.processor() or platform.machine()
    return f"{name} {hashlib.sha256(json.dumps(known).encode()).hexdigest()[:8]}"


def precision_of(spec_file: Path) -> ChosenPrecision | None:
    """What the training of a spec began with; None where it has not begun."""
    if not spec_file.is_file():
        return None
    found = json.loads(spec_file.read_bytes())["model"]["training"].get("precision")
    return found if found in {"fp32", "bf16"} else None


def settle_precision(spec: TrainSpec, group: ProcessGroup) -> TrainSpec:
    """The spec with rank 0's choice in the place of `auto`; a training goes on in what it began with."""
    if spec.model.training.precision != "auto":
        return spec
    is_bf16 = torch.zeros(1, device=group.device)
    if group.is_main:
        begun = [precision_of(folder / "spec.json") for folder in (spec.output_dir, spec.work_dir)]
        chosen = begun[0] or begun[1] or choose_precision(largest_product(spec.model), group.device)
        is_bf16 += chosen == "bf16"
    settled = spec.model.with_precision("bf16" if group.all_reduce(is_bf16).item() else "fp32")
    return spec.model_copy(update={"model": settled})


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", type=Path, required=True, help="the folder that keeps the answers")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    model = ModelConfig.model_validate_json(sys.stdin.read())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sys.stdout.write(remembered_precision(largest_product(model), device, arguments.memory) + "\n")


if __name__ == "__main__":
    main()
