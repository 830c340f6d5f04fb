"""A world small enough to be simulated in the test's own process."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from jobs.simulator.config import SimulationConfig
from jobs.simulator.days import Counts, simulate_day
from jobs.simulator.plan import plan_simulation
from jobs.simulator.population import describe_users
from jobs.simulator.random_numbers import Ints

FIRST_DAY = date(2024, 2, 26)  # 29 February is inside


@dataclass(frozen=True)
class World:
    """Everything that was made; `events` has the landing day in `landed_on`."""

    config: SimulationConfig
    events: pd.DataFrame
    truth: pd.DataFrame
    counts: Counts


def small_config(**changes: Any) -> SimulationConfig:
    settings: dict[str, Any] = {
        "users": 300,
        "items": 400,
        "days": 6,
        "events": 30_000,
        "seed": 5,
        "first_day": FIRST_DAY,
        "label_window_days": 2,
        "heavy_user_share": 0.0,
        "hot_item_share": 0.0,
        "faults": {},
        "format": "parquet",
    }
    return SimulationConfig.model_validate({**settings, **changes})


def simulate(config: SimulationConfig, users: Ints | None = None) -> World:
    """Simulates all users, or those of the given numbers."""
    chosen = describe_users(config, np.arange(config.users) if users is None else users)
    rates, counts, events, truth = plan_simulation(config).rates, Counts(), [], []
    for day in range(config.days):
        for chunk in simulate_day(config, chosen, day, rates):
            landed_on = [config.first_day + timedelta(days=int(landed)) for landed in chunk.landing_day]
            events.append(chunk.events.append_column("landed_on", pa.array(landed_on)))
            truth.append(chunk.truth)
            counts.update(chunk.counts)
    return World(config, _frame(events), _frame(truth), counts)


def outcomes(world: World) -> pd.DataFrame:
    """The truth beside what happened: per impression the times of its events, and the value bought."""
    events = world.events.assign(impression=world.events.event_id.str[:-1] + "0")
    times = events.pivot(index="impression", columns="event_type", values="event_time")
    value = events[events.event_type == "purchase"].set_index("impression").value
    return world.truth.set_index("event_id").join(times).join(value)


def _frame(tables: list[pa.Table]) -> pd.DataFrame:
    nullable = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
    return pa.concat_tables(tables).to_pandas(types_mapper=nullable.get) if tables else pd.DataFrame()
