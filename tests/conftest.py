"""What both lanes of tests share: small processes, examples that are always the same, CPU budgets."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.cpu_budget import WRITE, CpuBudget
from tests.published_night import PublishedNight, publish_once, write_scenario_once

# For this process and all that it starts: as many test at once as there are cores, and none of them for long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NIGHTSHELF_RUNTIME", str(Path(__file__).with_name("runtime.yaml")))
os.environ.setdefault(
    "JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1"
)  # to compile less takes less than it saves

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(WRITE, action="store_true", help="write what each file took to tests/cpu_seconds.json")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuBudget(config))


@pytest.fixture(scope="session")
def night_scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the published night, for a night by other means."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the run, which its workers have in common
    return write_scenario_once(folder / "published_night")


@pytest.fixture(scope="session")
def published_night(night_scenario: Path) -> PublishedNight:
    return publish_once(night_scenario)
