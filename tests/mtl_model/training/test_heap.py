import sys

import pytest
import torch

from mtl_model.training.heap import keep_freed_memory

resource = pytest.importorskip("resource")


@pytest.mark.skipif(sys.platform != "linux", reason="only there the C library may have the settings")
def test_a_large_block_is_taken_from_the_system_once() -> None:
    if not keep_freed_memory():
        pytest.skip("not the GNU C library")
    for _ in range(10):  # the library sets some blocks of each size aside first
        torch.ones(16_000_000)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16_000_000)

    pages = 16_000_000 * 4 // resource.getpagesize()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < pages
