"""Memory that one step frees is there for the next.

The GNU C library gives large blocks back to the system at once; the next step then waits until the system has
cleared new pages, an eighth of a step and more.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of its malloc.h
KEPT_BYTES = 1 << 30  # a larger block, such as a table, comes from the system


def keep_freed_memory() -> bool:
    """Whether this system's C library has the settings; it is faster with them, the results are the same."""
    if sys.platform != "linux":
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    options = (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)
    return all(set_option(option, KEPT_BYTES) == 1 for option in options)
