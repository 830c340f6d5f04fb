"""Logs of random events, many for one Spark job: drawn by Hypothesis, which shrinks them, or from seeds."""

import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Event = dict[str, Any]
MakeEvent = Callable[[random.Random], Event]


def drawn_logs(make_event: MakeEvent) -> st.SearchStrategy[list[list[Event]]]:
    """Some 40 logs; each choice in them is Hypothesis' own, and what a failure does not need goes.

    Lists within a list: by itself a list has some five elements, and with more at least it shrinks badly.
    """
    events = st.randoms(use_true_random=False).map(make_event)
    logs = st.lists(st.lists(events, min_size=1, max_size=6), min_size=1, max_size=20)
    return st.lists(logs, min_size=3, max_size=12).map(lambda parts: [log for part in parts for log in part])


def seeded_logs(make_event: MakeEvent, count: int) -> list[list[Event]]:
    """The same ones each time, however many there are."""
    chances = map(random.Random, range(count))
    return [[make_event(chance) for _ in range(chance.randint(1, 12))] for chance in chances]
