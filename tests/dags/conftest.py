from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.small_log import write_scenario, write_small_log


@pytest.fixture(scope="session")
def nightly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The DAG `nightly`. Airflow writes to its home as it is imported: hence a home of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        from dags.nightly import nightly

        yield nightly()


@pytest.fixture(scope="session")
def backfill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        from dags.backfill import backfill

        yield backfill()


@pytest.fixture(scope="session")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small grocery log, by the path of its YAML."""
    folder = tmp_path_factory.mktemp("small")
    log = write_small_log(folder / "log")
    return str(write_scenario(folder / "small.yaml", log))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty NIGHTSHELF_HOME."""
    monkeypatch.setenv("NIGHTSHELF_HOME", str(tmp_path))
    return tmp_path
