"""One Spark session for all tests of a process; a home of its own and a small log for each test that asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.config import load_runtime
from jobs.lake.catalog import open_catalog
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from tests.small_log import write_scenario, write_small_log


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = start_spark(load_runtime())
    yield session
    session.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which the jobs and the command find."""
    folder = tmp_path / "home"
    monkeypatch.setenv("NIGHTSHELF_HOME", str(folder))
    return folder


@pytest.fixture
def lake(home: Path) -> Lake:
    """The tables of a scenario named `small`, none written yet."""
    return Lake(open_catalog(home, {}), "small", home, num_partitions=2)


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small log; tests that spoil a file copy it first."""
    return write_small_log(tmp_path_factory.mktemp("small_log"))


@pytest.fixture
def small_scenario(small_log: Path, tmp_path: Path) -> Path:
    """The YAML of a scenario named `small` over the small log."""
    return write_scenario(tmp_path / "small.yaml", small_log)
