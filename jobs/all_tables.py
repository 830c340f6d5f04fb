"""Every table of the lake, in the order of the flow; and docs/tables.md, the dictionary made from them."""

import sys
from collections.abc import Iterable
from pathlib import Path

from jobs.candidates.tables import TABLES as CANDIDATE_TABLES
from jobs.config import ScenarioConfig, load_scenario
from jobs.examples.tables import example_tables
from jobs.features.declared_states import state_tables
from jobs.features.event_tiles import tile_tables
from jobs.features.tables import feature_tables
from jobs.lake.columns import Table
from jobs.learn.tables import TABLES as LEARN_TABLES
from jobs.logs.tables import TABLES as LOG_TABLES
from jobs.publish.tables import TABLES as PUBLISH_TABLES
from jobs.recommend.tables import TABLES as RECOMMEND_TABLES
from jobs.stage import RUN_STAGES

DICTIONARY = Path(__file__).resolve().parents[1] / "docs" / "tables.md"

_HEAD = """\
# The tables

Written by `python -m jobs.all_tables` from the schemas in `jobs/*/tables.py`: change those, not this file.

All tables are Iceberg tables of one catalog, in a namespace named after the scenario, partitioned by `ds`.
Feature columns depend on the scenario; these are those of `grocery`. Money is in cents, instants are in UTC.
"""


def tables_by_stage(scenario: ScenarioConfig) -> dict[str, tuple[Table, ...]]:
    """Stage -> the tables that it writes; `every stage` records itself."""
    return {
        "ingest": LOG_TABLES,
        "tiles": tile_tables(scenario),
        "features": (*feature_tables(scenario.features), *state_tables(scenario)),
        "candidates": CANDIDATE_TABLES,
        "examples": example_tables(scenario),
        "train and evaluate": LEARN_TABLES,
        "recommend": RECOMMEND_TABLES,
        "publish": PUBLISH_TABLES,
        "every stage": (RUN_STAGES,),
    }


def all_tables(scenario: ScenarioConfig) -> list[Table]:
    return [table for tables in tables_by_stage(scenario).values() for table in tables]


def write_dictionary(scenario: ScenarioConfig) -> str:
    """The text of docs/tables.md."""
    parts = [_HEAD]
    for stage, tables in tables_by_stage(scenario).items():
        parts.append(f"## {stage[0].upper()}{stage[1:]}\n")
        parts += [_describe(table) for table in tables]
    return "\n".join(parts)


def _describe(table: Table) -> str:
    rows = [("ds", "date", table.ds_is), *((c.name, c.type, c.meaning) for c in table.columns)]
    key = ", ".join(f"`{column}`" for column in table.key)
    return f"### {table.name}\n\n{table.meaning} Sorted by {key}.\n\n{_markdown_table(rows)}"


def _markdown_table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = ["| column | type | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    DICTIONARY.write_text(write_dictionary(load_scenario("grocery")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
