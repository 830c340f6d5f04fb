"""Run by torchrun: settles a spec's precision on ranks that find bf16 fast, the first, or slow, the others.

auto_on_ranks.py SPEC writes what each rank will train in beside the spec: rank-0, rank-1.
"""

import sys
from pathlib import Path

from mtl_model.config import TrainSpec
from mtl_model.training import choose_precision
from mtl_model.training.choose_precision import ProductSeconds, settle_precision
from mtl_model.training.process_group import join_process_group


def main(spec_file: Path) -> None:
    spec = TrainSpec.model_validate_json(spec_file.read_bytes())
    with join_process_group() as group:
        seconds = ProductSeconds(fp32=1.0, bf16=2.0 if group.rank else 0.5)
        choose_precision.time_product = lambda *asked: seconds  # type: ignore[assignment]
        settled = settle_precision(spec, group).model.training.precision
        spec_file.with_name(f"rank-{group.rank}").write_text(settled)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
