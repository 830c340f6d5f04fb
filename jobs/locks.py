"""Locks of a home, each a file that a process holds; who dies, however, lets go at once.

Whoever waits holds only what comes earlier in this order, so that no two processes wait for each other:
the date of a run (`hold_date`), the tables that rest on the log (`jobs/bulk_stages.py`), one table's commit
(`Lake`).
"""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


class HeldError(RuntimeError):
    """Another process has the lock; the text is what it wrote of itself."""


@contextmanager
def hold(path: Path, who: Mapping[str, str], waits: bool) -> Iterator[None]:
    """Keeps others from holding the file and writes into it who does; `waits` until it is free, if need be.

    Raises:
        HeldError: if another holds it, and this one does not wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read() or "a process that has not yet written its name"
            if not waits:
                raise HeldError(holder) from error
            logger.info("%s waits for %s", who, holder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(json.dumps({**who, "pid": os.getpid(), "host": socket.gethostname()}))
        lock.flush()
        yield
