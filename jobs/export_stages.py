"""The registry -> docs/tables.md, the dictionary of all tables, and dags/stages.json for the DAG files."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from jobs.config import ScenarioConfig, load_scenario
from jobs.lake.columns import Table
from jobs.stage import RUN_STAGES
from jobs.stages import STAGES

REPOSITORY = Path(__file__).resolve().parents[1]
DICTIONARY, DAG_STAGES = REPOSITORY / "docs" / "tables.md", REPOSITORY / "dags" / "stages.json"

_HEAD = """\
# The tables

Written by `python -m jobs.export_stages` from the registry (`jobs/stages.py`, `jobs/stage_tables.py`) and the
schemas in `jobs/*/tables.py`: change those, not this file.

All tables are Iceberg tables of one catalog, in a namespace named after the scenario, partitioned by `ds`.
Feature columns depend on the scenario; these are those of `grocery`. Money is in cents, instants are in UTC.

A night runs these stages in their order. Days of tables up to the examples are kept, with the settings that
made them: `nightshelf plan` tells which a run would build, and because of which setting.
"""


def write_dictionary(scenario: ScenarioConfig) -> str:
    """The text of docs/tables.md."""
    rows = [
        (
            f"`{stage.name}`",
            stage.days.meaning,
            ", ".join(stage.reads(scenario)) or "the log",
            ", ".join([*stage.writes(scenario), *([stage.files] if stage.files else [])]),
        )
        for stage in STAGES.values()
    ]
    parts = [_HEAD, _markdown_table(("stage", "days", "reads", "writes"), rows)]
    for stage in STAGES.values():
        parts += _section(stage.name, [made.table for made in stage.makes(scenario)])
    return "\n".join([*parts, *_section("every stage", [RUN_STAGES])])


def write_dag_stages(scenario: ScenarioConfig) -> str:
    """The text of dags/stages.json: stages in their order, the module of each, and whether it needs Spark."""
    stages = [
        {
            "name": stage.name,
            "module": stage.entry.partition(":")[0],
            "needs_spark": stage.needs_spark,
            "tables": [made.table.name for made in stage.makes(scenario)],
        }
        for stage in STAGES.values()
    ]
    return "[\n" + ",\n".join(json.dumps(stage) for stage in stages) + "\n]\n"


def _section(title: str, tables: Sequence[Table]) -> list[str]:
    heading = f"## {title[0].upper()}{title[1:]}\n"
    return [heading, *map(_describe, tables)] if tables else []


def _describe(table: Table) -> str:
    rows = [("ds", "date", table.ds_is), *((c.name, c.type, c.meaning) for c in table.columns)]
    key = ", ".join(f"`{column}`" for column in table.key)
    columns = _markdown_table(
        ("column", "type", "meaning"), ((f"`{name}`", kind, meaning) for name, kind, meaning in rows)
    )
    return f"### {table.name}\n\n{table.meaning} Sorted by {key}.\n\n{columns}"


def _markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def main() -> int:
    scenario = load_scenario("grocery")
    DICTIONARY.write_text(write_dictionary(scenario), encoding="utf-8")
    DAG_STAGES.write_text(write_dag_stages(scenario), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
