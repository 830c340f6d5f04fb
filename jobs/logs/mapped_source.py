"""The source `mapped`: files that any team has -> the data contract, as the scenario's YAML says."""

import hashlib
import logging
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.logs.config import EventsMapping, ItemsMapping, MappedLogs, Mapping, UsersMapping
from jobs.logs.file_schemas import Kinds, check_columns, group_files, read_group
from jobs.logs.judge_events import raw_event_columns
from jobs.logs.log_files import LogFile, check_root, list_files, list_landing_files, root_of
from jobs.logs.map_catalogue import map_catalogue
from jobs.logs.map_events import map_events
from jobs.logs.tables import CAMPAIGN_MEMBERS, ITEMS, PROMOTIONS, USERS

logger = logging.getLogger(__name__)


@dataclass
class MappedSource:
    """A mapped log. `known` are the columns that its files had before, `found` those that were met now."""

    logs: MappedLogs
    known: MappingOf[str, MappingOf[str, str]] = field(default_factory=dict)
    found: dict[str, Kinds] = field(default_factory=dict)

    @property
    def location(self) -> str:
        return root_of(self.logs.path)

    @property
    def reads_text(self) -> bool:
        """Whether to parse the files costs more than to keep what they say."""
        return any(mapping.files.format != "parquet" for mapping in self.logs.events)

    def files(self, day: date) -> list[tuple[str, int]]:
        """(name, bytes) of the files that the night of `day` reads for that day."""
        days = self.logs.landing_days((day, day), day)
        files = [file for mapping in self.logs.events for file in self._event_files(mapping, days, None)]
        files += [file for mapping in self._catalogue() for file in self._catalogue_files(mapping)]
        return [(file.name, file.size) for file in files]

    def catalogue_version(self) -> str:
        """Changes when a file of items or users does: the catalogue is then loaded anew."""
        files = [file for mapping in self._catalogue() for file in self._catalogue_files(mapping)]
        content = repr([(file.name, file.size, file.modified_ns) for file in files])
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def read_events(self, spark: SparkSession, days: DayRange, known_through: date) -> DataFrame:
        """Raw events, at least all that belong to `days` and were known at the end of `known_through`.

        Raises:
            ValueError: if files are missing, torn, or have other columns or types.
        """
        needed = known_through if known_through == days[1] else None
        return self._read_landed(spark, self.logs.landing_days(days, known_through), needed)

    def read_learned(self, spark: SparkSession, days: DayRange) -> DataFrame | None:
        """Raw events, at least all learned on `days`; None if nothing in this log tells late from new."""
        return self._read_landed(spark, days, days[1]) if self.logs.tells_ingestion else None

    def read_items(self, spark: SparkSession) -> DataFrame:
        """One row per item; none if the log maps no items."""
        return self._read_catalogue(spark, self.logs.items, ITEMS)

    def read_users(self, spark: SparkSession) -> DataFrame:
        """One row per user; none if the log maps no users."""
        return self._read_catalogue(spark, self.logs.users, USERS)

    def read_promotions(self, spark: SparkSession) -> DataFrame:
        """None: promotions are not mapped."""
        return empty_rows(spark, PROMOTIONS)

    def read_campaign_members(self, spark: SparkSession) -> DataFrame:
        """None: campaigns are not mapped."""
        return empty_rows(spark, CAMPAIGN_MEMBERS)

    def promotions_known_until(self, day: date) -> date:
        return day

    def _read_landed(self, spark: SparkSession, days: DayRange, needed: date | None) -> DataFrame:
        frames = [spark.range(0).select(raw_event_columns({}))]
        for mappings in self.logs.events_by_files:
            files = self._event_files(mappings[0], days, needed)
            for rows, kinds in self._read(spark, mappings, files):
                frames.append(map_events(rows, kinds, mappings, self.logs.time_zone))
        # Sampled whole: no filter is pushed below that, which else would carry the conversions of all columns
        # that it rests on with it, more than once, until Java cannot compile it.
        return reduce(DataFrame.unionByName, frames).sample(1.0, seed=0)

    def _read_catalogue(
        self, spark: SparkSession, mapping: ItemsMapping | UsersMapping | None, table: Table
    ) -> DataFrame:
        if mapping is None:
            return empty_rows(spark, table)
        groups = self._read(spark, [mapping], self._catalogue_files(mapping))
        return map_catalogue(groups, mapping, self.logs.time_zone, table)

    def _read(
        self, spark: SparkSession, mappings: Sequence[Mapping], files: Sequence[LogFile]
    ) -> list[tuple[DataFrame, Kinds]]:
        """The files' rows with the name and landing day of their file, a frame for each schema."""
        form = mappings[0].files
        wanted = list(dict.fromkeys(name for mapping in mappings for name in mapping.source_columns()))
        groups = group_files(spark, files, form, wanted)
        known = {**self.known.get(form.path, {}), **self.found.get(form.path, {})}
        for mapping in mappings:
            known = check_columns(groups, mapping, form.path, known)
        self.found[form.path] = known
        return [(read_group(spark, group, form, wanted), group.kinds) for group in groups]

    def _catalogue(self) -> list[ItemsMapping | UsersMapping]:
        return [mapping for mapping in (self.logs.items, self.logs.users) if mapping]

    def _event_files(self, mapping: EventsMapping, days: DayRange, needed: date | None) -> list[LogFile]:
        if "{" in mapping.files.path:
            check_root(self.location)
            return list_landing_files(self.location, mapping.files.path, days, needed)
        return self._catalogue_files(mapping)

    def _catalogue_files(self, mapping: Mapping) -> list[LogFile]:
        check_root(self.location)
        files = list_files(self.location, mapping.files.path)
        if not files:
            raise ValueError(
                f"{self.location}/{mapping.files.path}: no such file; are logs.path and files.path right?"
            )
        return files


def empty_rows(spark: SparkSession, table: Table) -> DataFrame:
    """No rows, with the columns of `table` but `ds`."""
    return spark.createDataFrame([], table.spark_schema()).drop("ds")
