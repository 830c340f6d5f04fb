import pytest

from benchmarks.nightshelf_steps import prepare
from benchmarks.training_step import make_workloads

WORKLOADS = make_workloads(quick=True)


@pytest.mark.parametrize("name", [name for name in WORKLOADS if " 1M ids" in name])
def test_each_workload_trains(name: str) -> None:
    with prepare(WORKLOADS[name]._replace(batch_size=8), num_threads=1) as take_steps:
        take_steps(2)
