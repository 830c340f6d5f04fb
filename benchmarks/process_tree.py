"""Memory and processor time of this process and all its descendants together.

Memory is the proportional set size (PSS), a page that several processes share counted once, sampled while
something runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import psutil

_EVERY_SECONDS = 0.5


def processor_seconds() -> float:
    """What all of them have used so far, with the processes that have ended and were waited for."""
    this = psutil.Process()
    return sum(map(_processor_seconds, [this, *this.children(recursive=True)]))


class PeakMemory:
    """`mib` is the largest of the samples so far."""

    def __init__(self) -> None:
        self.mib = 0.0

    def sample(self) -> None:
        this = psutil.Process()
        processes = [this, *this.children(recursive=True)]
        self.mib = max(self.mib, sum(map(_pss_bytes, processes)) / 2**20)


@contextmanager
def sampled_memory() -> Iterator[PeakMemory]:
    """Samples every half second until the block ends."""
    peak, ended = PeakMemory(), Event()

    def sample() -> None:
        while not ended.wait(_EVERY_SECONDS):
            peak.sample()

    peak.sample()
    thread = Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has just ended
        return 0


def _processor_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
