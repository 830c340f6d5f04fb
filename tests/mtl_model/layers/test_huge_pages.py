import mmap
from pathlib import Path

import pytest
import torch

from mtl_model.layers.huge_pages import PAGE_BYTES, empty_table

ROWS = 4 * PAGE_BYTES // (3 * 4) + 1  # of 3 numbers: no whole number of pages


@pytest.mark.parametrize("num_rows", [0, 5, ROWS])
def test_a_table_is_memory_like_any(num_rows: int) -> None:
    table = empty_table(num_rows, 3)

    table.copy_(torch.arange(3.0 * num_rows).view(num_rows, 3))

    assert table.shape == (num_rows, 3)
    assert torch.equal(table.clone().flatten(), torch.arange(3.0 * num_rows))


def test_random_numbers_are_those_of_any_memory() -> None:
    torch.manual_seed(1)
    expected = torch.empty(ROWS, 3).normal_()
    torch.manual_seed(1)

    assert torch.equal(empty_table(ROWS, 3).normal_(), expected)


def test_a_system_that_refuses_gives_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", -1)  # no advice a kernel knows

    assert torch.equal(empty_table(ROWS, 3).fill_(2.0), torch.full((ROWS, 3), 2.0))


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists(), reason="a kernel without huge pages"
)
def test_huge_pages_are_asked_for() -> None:
    table = empty_table(ROWS, 3)

    assert "hg" in _flags_at(table.data_ptr())  # of proc_pid_smaps(5): "huge page advise flag"


def _flags_at(address: int) -> list[str]:
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, stop = (int(bound, 16) for bound in first.split("-"))
            inside = start <= address < stop
        elif inside and first == "VmFlags:":
            return line.split()[1:]
    raise AssertionError(f"no memory at {address:x}")
