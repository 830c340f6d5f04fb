import pytest

from jobs.config import CONF_FOLDER, load_scenario
from jobs.stages import STAGES, all_tables, made_tables


@pytest.mark.parametrize(
    "name", sorted(file.stem for file in CONF_FOLDER.glob("*.yaml") if file.stem != "local")
)
def test_a_table_is_made_from_tables_above_it(name: str) -> None:
    scenario = load_scenario(name)
    names = list(made_tables(scenario))

    for table, made in made_tables(scenario).items():
        assert {read.table for read in made.reads} <= {*names[: names.index(table)]}, table
    for stage in STAGES.values():
        tables = {*stage.reads(scenario), *stage.writes(scenario)} - {"all of the run"}
        assert tables <= {table.name for table in all_tables(scenario)}, stage.name
