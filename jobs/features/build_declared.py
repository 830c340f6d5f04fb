"""Tiles of a few days and the state of the day before -> the declared features as of one day.

Each task reads its users' files of the state and of the tiles, and writes those of the new state and of the
features (jobs/features/declared_states.py). Without a state to go on from, all tiles of the horizon are read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import cast

import duckdb
import pyarrow as pa
from pyiceberg.expressions import In
from pyspark import TaskContext

from jobs.features.declared_states import StatePlan
from jobs.features.user_windows import BATCH_ROWS, whole_users
from jobs.lake.data_files import place_of
from jobs.lake.day_tasks import Input, open_day, plan_tasks, read_tasks
from jobs.lake.files import Batches, MadeRows, Make, write_made
from jobs.lake.lake import Lake
from jobs.lake.sort_rows import sort_rows
from jobs.lake.spark import start_spark
from jobs.logs.tables import ITEMS
from jobs.stage import Run

_EPOCH = date(1970, 1, 1)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class NightlyFeatures:
    """The declared features of some entities as of one day, made together: of users, or of one other."""

    run: Run
    lake: Lake
    plans: Sequence[StatePlan]

    def build(self, day: date) -> dict[str, int]:
        """Replaces states and features as of `day`; the features come last and say that it is built."""
        catalogue, yesterday = catalogue_version(self.lake), day - _DAY
        chained = all(self.lake.has_built(plan.state, yesterday, catalogue) for plan in self.plans)
        inputs = self._inputs(day, chained)
        num_tasks = self.plans[0].state.files_per_day
        tasks = plan_tasks(start_spark(self.run.runtime), self.lake, inputs, (day, day), num_tasks)
        states = {plan.state.name: plan.state for plan in self.plans}
        tables = states | {plan.features.name: plan.features for plan in self.plans}
        places = {name: place_of(table, self.lake.load(table).location()) for name, table in tables.items()}
        files = write_made(tasks, self._make(inputs, chained), places)
        for name, table in tables.items():
            of_state = name in states
            self.lake.commit(
                table, (day, day), files[name], catalogue if of_state else "",
                drop_before=yesterday if of_state else date.min,
            )  # fmt: skip
        return {name: sum(file.row_count for file in files[name]) for name in tables}

    def _inputs(self, day: date, chained: bool) -> list[Input]:
        tiles, first_day = self.plans[0].tiles, self.run.scenario.logs.first_day
        days = {of for plan in self.plans for of in plan.tile_days(day, first_day, chained)}
        wanted = In(term="ds", literals={str(of) for of in days})
        files = self.lake.files(tiles, (min(days), max(days)), where=wanted)
        of_users = "user_id" in self.plans[0].state.key
        inputs = [
            Input(tiles, "event_tile", files=files, bucketed=of_users),
            Input(ITEMS, "catalogue", days=(first_day, first_day)),
        ]
        if chained:
            inputs += [Input(plan.state, plan.state.name, -1, -1, bucketed=of_users) for plan in self.plans]
        return inputs

    def _make(self, inputs: Sequence[Input], chained: bool) -> Make:
        """What a task does: the rows of each state, and the features of those who are anchored."""
        schemas = {item.view: item.table.arrow_schema() for item in inputs}
        plans, every_days = self.plans, self.run.scenario.examples.anchor_every_days

        def is_anchored(day: date, bucket: int) -> bool:
            return (day - _EPOCH).days % every_days == bucket % every_days

        def run(batches: Batches) -> Iterator[MadeRows]:
            for day, bucket, paths in read_tasks(batches):
                with open_day(paths, schemas) as database:
                    database.execute(plans[0].tile_view)
                    for plan in plans:
                        table, of_day = plan.features, {"day": day}
                        found = database.sql(plan.group_query(chained), params=of_day).to_arrow_table()
                        grouped = sort_rows(found, table.key)
                        days = pa.repeat(pa.scalar(day), grouped.num_rows)
                        yield plan.state.name, day, bucket, grouped.append_column("ds", days)
                        if "user_id" not in table.key or is_anchored(day, bucket):
                            database.register("grouped", grouped)
                            made = database.sql(plan.feature_query, params=of_day).to_arrow_table()
                            yield table.name, day, bucket % table.files_per_day, made

        return run


def catalogue_version(lake: Lake) -> str:
    """States count events by the categories that items have had: another catalogue, another state."""
    return str(lake.snapshot_id(ITEMS))


def features_of_all(plan: StatePlan, day: date) -> Make:
    """Makes the features of all users from the rows of their state as of `day`, placed by bucket of users."""

    def make(batches: Batches) -> Iterator[MadeRows]:
        bucket = cast(TaskContext, TaskContext.get()).partitionId()
        for rows in whole_users(batches, BATCH_ROWS):
            with duckdb.connect(config={"threads": 1}) as database:
                database.register("grouped", rows)
                made = database.sql(plan.feature_query, params={"day": day}).to_arrow_table()
            yield plan.features.name, day, bucket, made

    return make
