"""How the registry (jobs/stages.py) says what stages and tables are made of, and what follows for digests."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from pydantic_core import to_jsonable_python

from jobs.config import ScenarioConfig
from jobs.lake.built_days import Settings, short_digest
from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.stage import Run


class Setting(NamedTuple):
    """A key of the scenario (or several, of which a part matters) and what of it a table is made by."""

    key: str
    value: Callable[[ScenarioConfig], object]


class Read(NamedTuple):
    """A table that another is made from: its day d reaches d + `first` to d + `last`, or all later days."""

    table: str
    first: int = 0
    last: int | None = 0


class Days(NamedTuple):
    """The days that a run builds, in words and as a range."""

    meaning: str
    of: Callable[[Run], DayRange]


@dataclass(frozen=True)
class Made:
    """A table, what it is made from, and by which settings beside those of what it is made from."""

    table: Table
    days: Days
    reads: tuple[Read, ...] = ()
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One step of a night; `entry` is imported when its turn comes, the tables depend on the scenario.

    `also_reads` are those that no table of its own is made from, `also_writes` those that belong to another
    stage, `files` what it writes beside tables.
    """

    name: str
    entry: str
    days: Days
    makes: Callable[[ScenarioConfig], Iterable[Made]]
    needs_spark: bool
    also_reads: tuple[str, ...] = ()
    also_writes: tuple[str, ...] = ()
    files: str = ""

    def reads(self, scenario: ScenarioConfig) -> list[str]:
        """The tables of other stages that it reads."""
        made = tuple(self.makes(scenario))
        own = {one.table.name for one in made}
        names = dict.fromkeys(read.table for one in made for read in one.reads)
        return [*(name for name in names if name not in own), *self.also_reads]

    def writes(self, scenario: ScenarioConfig) -> list[str]:
        """The tables that it writes, and what else."""
        return [*(one.table.name for one in self.makes(scenario)), *self.also_writes]


def whole(*keys: str) -> tuple[Setting, ...]:
    """Settings all of whose content matters; None where a scenario has no such key."""
    return tuple(Setting(key, partial(_value_at, key)) for key in keys)


def _value_at(key: str, scenario: ScenarioConfig) -> object:
    value: object = scenario
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def settings_of(made: Iterable[Made], scenario: ScenarioConfig) -> dict[str, Settings]:
    """Table -> all that it is made by: its own settings, and those of the tables that it is made from."""
    found: dict[str, frozenset[tuple[str, str]]] = {}
    for one in made:
        own = {(setting.key, _digest(setting.value(scenario))) for setting in one.settings}
        found[one.table.name] = frozenset(own).union(*(found[read.table] for read in one.reads))
    return {table: _by_key(digests) for table, digests in found.items()}


def _by_key(digests: Iterable[tuple[str, str]]) -> Settings:
    """Tables may be made by several parts of one key."""
    parts: dict[str, list[str]] = {}
    for key, digest in sorted(digests):
        parts.setdefault(key, []).append(digest)
    return {key: of[0] if len(of) == 1 else short_digest(" ".join(of)) for key, of in parts.items()}


def _digest(value: object) -> str:
    return short_digest(json.dumps(to_jsonable_python(value), sort_keys=True))
