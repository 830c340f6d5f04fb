"""Makes the next batches in a thread while the model works on this one."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

PUT_TIMEOUT_SECONDS = 0.1


class Prefetcher(threading.Thread, Generic[Item]):
    """Runs through `items`, up to `depth` ahead of the consumer."""

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        super().__init__(name="prefetch", daemon=True)
        self.items = items
        self.ready: queue.Queue[Item | None] = queue.Queue(maxsize=depth)
        self.error: BaseException | None = None
        self.stopped = threading.Event()

    def run(self) -> None:
        try:
            for item in self.items:
                self._put(item)
                if self.stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - the consumer raises it
            self.error = error
        self._put(None)

    def _put(self, item: Item | None) -> None:
        while not self.stopped.is_set():
            try:
                self.ready.put(item, timeout=PUT_TIMEOUT_SECONDS)
            except queue.Full:
                continue
            return


def prefetch(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """The same items (never None) in the same order, up to `depth` of them ready in advance.

    An error in the thread is raised here; when the consumer stops early, so does the thread.
    """
    prefetcher = Prefetcher(items, depth)
    prefetcher.start()
    try:
        while (item := prefetcher.ready.get()) is not None:
            yield item
        if prefetcher.error is not None:
            raise prefetcher.error
    finally:
        prefetcher.stopped.set()
        prefetcher.join()
