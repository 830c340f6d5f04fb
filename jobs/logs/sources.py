"""What reads a behaviour log: the `source` of a scenario's logs, by name.

A source gives raw events (jobs/logs/judge_events.py) and the catalogue; a source without promotions or
campaigns gives empty frames of them.
"""

from collections.abc import Mapping
from datetime import date
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from jobs.lake.days import DayRange
from jobs.logs.completejourney import CompleteJourneySource
from jobs.logs.judge_events import Logs
from jobs.logs.mapped_source import MappedSource


class Source(Protocol):
    """The interface of all sources. `found` has the columns of the files read so far, per source file."""

    @property
    def location(self) -> str: ...

    @property
    def reads_text(self) -> bool: ...

    @property
    def found(self) -> Mapping[str, Mapping[str, str]]: ...

    def files(self, day: date) -> list[tuple[str, int]]: ...

    def catalogue_version(self) -> str: ...

    def read_events(self, spark: SparkSession, days: DayRange, known_through: date) -> DataFrame: ...

    def read_learned(self, spark: SparkSession, days: DayRange) -> DataFrame | None: ...

    def read_items(self, spark: SparkSession) -> DataFrame: ...

    def read_users(self, spark: SparkSession) -> DataFrame: ...

    def read_promotions(self, spark: SparkSession) -> DataFrame: ...

    def read_campaign_members(self, spark: SparkSession) -> DataFrame: ...

    def promotions_known_until(self, day: date) -> date: ...


SOURCES = {"completejourney": CompleteJourneySource, "mapped": MappedSource}


def open_source(logs: Logs, known: Mapping[str, Mapping[str, str]] | None = None) -> Source:
    """The source of a scenario; `known` are the columns that its files had on earlier nights."""
    source: Source = SOURCES[logs.source](logs, known or {})
    return source


def promotion_days(logs: Logs, day: date) -> DayRange:
    """The days of whose promotions and campaigns a night knows; promotions may be older than the log."""
    return date(1970, 1, 1), open_source(logs).promotions_known_until(day)
