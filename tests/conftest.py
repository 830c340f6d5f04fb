"""What both lanes of tests share: one thread a process, examples that are always the same, CPU budgets."""

import os

import pytest
from hypothesis import settings

from tests.cpu_budget import WRITE, CpuBudget

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch comes: as many processes as cores run already

settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(WRITE, action="store_true", help="write what each file took to tests/cpu_seconds.json")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuBudget(config))
