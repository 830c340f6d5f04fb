import threading
from collections.abc import Iterator

import pytest

from mtl_model.data.prefetch import prefetch


def test_items_come_in_order() -> None:
    assert list(prefetch(range(100), depth=3)) == list(range(100))


def test_an_error_in_the_thread_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("bad row group")

    prefetched = prefetch(items(), depth=2)

    assert next(prefetched) == 1
    with pytest.raises(ValueError, match="bad row group"):
        next(prefetched)


def test_leaving_early_ends_the_thread() -> None:
    items = prefetch(iter(range(1000)), depth=2)
    next(items)

    items.close()  # type: ignore[attr-defined]

    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
