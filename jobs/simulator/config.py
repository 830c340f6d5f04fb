"""What to simulate: the typed, frozen choices of `nightshelf simulate`. Light to import."""

from collections.abc import Mapping
from datetime import date, timedelta
from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from mtl_model.config import StrictModel

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Format = Literal["parquet", "csv", "jsonl"]

_EVENTS_PER_DAY_AND_PARTITION = 250_000
_EVENTS_PER_PARTITION = 100_000  # of a small log: enough partitions for some cores
_MIN_PARALLEL_PARTITIONS = 8


class FaultsConfig(StrictModel):
    """Faults of the landed rows: shares of the sound events, and the landing days of schema changes.

    A row has one fault at most. Late rows are sound rows that land later; all other faulty rows are
    extra ones, so that a log without them is the log that would have been written without faults.
    """

    duplicates: Share = 0.0
    late: Share = 0.0
    future: Share = 0.0
    broken: Share = 0.0
    new_column: date | None = None
    price_as_text: date | None = None

    @model_validator(mode="after")
    def check_shares(self) -> Self:
        if (total := self.duplicates + self.late + self.future + self.broken) > 1:
            raise ValueError(f"the shares of faulty rows add up to {total}: at most 1")
        return self


class SimulationConfig(StrictModel):
    """The whole world: the same settings and seed give the same rows, on any number of cores."""

    users: PositiveInt
    items: Annotated[int, Field(ge=100, lt=2**32)]
    days: PositiveInt
    events: PositiveInt
    seed: Annotated[int, Field(ge=0)]
    first_day: date
    label_window_days: PositiveInt
    heavy_user_share: Share
    hot_item_share: Share
    faults: FaultsConfig
    format: Format
    num_partitions: PositiveInt | None = None

    @model_validator(mode="after")
    def check_heavy_user(self) -> Self:
        if self.heavy_user_share and self.users < 2:
            raise ValueError("heavy_user_share needs other users beside: give more than one user")
        return self

    @property
    def last_day(self) -> date:
        return self.first_day + timedelta(days=self.days - 1)

    @property
    def user_partitions(self) -> int:
        """Ranges of users, each made by one task day after day."""
        if self.num_partitions:
            return min(self.num_partitions, self.users)
        for_memory = ceil(self.events / self.days / _EVENTS_PER_DAY_AND_PARTITION)
        for_cores = min(_MIN_PARALLEL_PARTITIONS, ceil(self.events / _EVENTS_PER_PARTITION))
        return min(max(for_memory, for_cores), self.users)


def parse_faults(text: str) -> Mapping[str, str]:
    """Splits "late=0.02,new-column=2024-01-05" into the fields of FaultsConfig.

    Raises:
        ValueError: if a part is not name=value, or its name is no fault.
    """
    faults: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.strip().partition("=")
        field = name.replace("-", "_")
        if not equals or field not in FaultsConfig.model_fields:
            known = ", ".join(known.replace("_", "-") for known in FaultsConfig.model_fields)
            raise ValueError(f"{part!r} is no fault: write name=value, the names are {known}")
        faults[field] = value
    return faults


def parse_count(text: str) -> int:
    """Reads 2000, 2_000, 300k, 100m or 1b.

    Raises:
        ValueError: if it is no such number.
    """
    factor = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}.get(text[-1:].lower(), 1)
    try:
        return round(float(text[:-1] if factor > 1 else text) * factor)
    except ValueError:
        raise ValueError(f"{text!r} is no number: write 2000, 300k, 100m or 1b") from None
