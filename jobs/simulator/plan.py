"""How often users must come for the wanted number of events, and what will be written: from a pilot."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from jobs.simulator.catalogue import ITEMS_PER_TASK
from jobs.simulator.config import FaultsConfig, SimulationConfig
from jobs.simulator.days import Counts, simulate_requests
from jobs.simulator.faults import LATEST_DAYS
from jobs.simulator.population import HEAVY_USER, describe_users
from jobs.simulator.random_numbers import Ints
from jobs.simulator.sessions import SessionRates, draw_requests, mean_visits

_PILOT_SESSIONS = 2_000
_BYTES_PER_EVENT = {"parquet": 18, "csv": 190, "jsonl": 360}
_BYTES_PER_TRUTH = 25
_DIGITS = 6  # of the rates: the last bits of a sum may differ between processors


@dataclass(frozen=True)
class SimulationPlan:
    """What a simulation will write, about, and the rates that it needs for that."""

    rates: SessionRates
    event_rows: int
    truth_rows: int
    event_folders: int
    user_tasks: int
    item_tasks: int
    size_bytes: int


def plan_simulation(config: SimulationConfig) -> SimulationPlan:
    pilot = _pilot(config, np.arange(min(config.users, _PILOT_SESSIONS)))
    visits, constant_visits = mean_visits(config)
    user_rate = config.events * (1 - config.heavy_user_share) / _per_session(pilot) / visits
    heavy_rate = 0.0
    if config.heavy_user_share:
        own_pilot = _pilot(config, np.full(1, HEAVY_USER))
        heavy_rate = config.events * config.heavy_user_share / _per_session(own_pilot) / constant_visits
    faults = config.faults
    event_rows = round(config.events * (1 + faults.duplicates + faults.future + faults.broken))
    truth_rows = round(config.events * pilot["events", "impression"] / _events(pilot))
    return SimulationPlan(
        rates=SessionRates(_rounded(user_rate), _rounded(heavy_rate)),
        event_rows=event_rows,
        truth_rows=truth_rows,
        event_folders=config.days + (LATEST_DAYS if faults.late else 1),
        user_tasks=config.user_partitions,
        item_tasks=ceil(config.items / ITEMS_PER_TASK),
        size_bytes=event_rows * _BYTES_PER_EVENT[config.format] + truth_rows * _BYTES_PER_TRUTH,
    )


def _pilot(config: SimulationConfig, number: Ints) -> Counts:
    """The counts of some sessions of each user, all on the middle day."""
    sound = config.model_copy(update={"faults": FaultsConfig()})
    users, day = describe_users(sound, number), config.days // 2
    counts = Counts()
    sessions = np.full(len(number), ceil(_PILOT_SESSIONS / len(number)))
    for requests in draw_requests(sound, users, day, sessions):
        counts.update(simulate_requests(sound, users, day, requests).counts)
    return counts


def _per_session(pilot: Counts) -> float:
    return _events(pilot) / pilot["sessions", "all"]


def _events(pilot: Counts) -> int:
    return pilot["rows", "none"]


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")
