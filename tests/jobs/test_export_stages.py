from jobs.config import load_scenario
from jobs.export_stages import DAG_STAGES, DICTIONARY, write_dag_stages, write_dictionary
from jobs.stages import all_tables


def test_the_committed_dictionary_is_the_one_that_the_registry_gives() -> None:
    expected = write_dictionary(load_scenario("grocery"))

    assert DICTIONARY.read_text(encoding="utf-8") == expected, "run `python -m jobs.export_stages`"


def test_the_dag_files_read_the_stages_of_the_registry() -> None:
    expected = write_dag_stages(load_scenario("grocery"))

    assert DAG_STAGES.read_text(encoding="utf-8") == expected, "run `python -m jobs.export_stages`"


def test_tables_and_their_columns_have_names_of_their_own_and_a_meaning() -> None:
    tables = all_tables(load_scenario("grocery"))

    assert len({table.name for table in tables}) == len(tables)
    for table in tables:
        assert len(set(table.column_names)) == len(table.column_names), table.name
        assert set(table.key) <= set(table.column_names), table.name
        assert all(column.meaning for column in table.columns), table.name
