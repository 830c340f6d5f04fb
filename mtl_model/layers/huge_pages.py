"""Memory of large tables in pages of 2 MiB, where the system has them.

A batch looks up ids all over a table. In pages of 4 KiB the processor must find the page of nearly every one
of them anew, which takes as long as the lookup.
"""

import mmap
from contextlib import suppress

import torch
from torch import Tensor

PAGE_BYTES = 2 << 20


def empty_table(num_rows: int, width: int) -> Tensor:
    """An uninitialised tensor (num_rows, width) of float32 on the CPU."""
    num_bytes = num_rows * width * torch.float32.itemsize
    if num_bytes < PAGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(num_rows, width)
    memory = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # of a kernel without them, whose memory is as good
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.float32).view(num_rows, width)
