import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cpu_budget import cpu_seconds, read_budgets, too_dear, write_budgets

REPOSITORY = Path(__file__).parents[1]
BURN = "import time\nwhile time.process_time() < {}: pass\n"

CONFTEST = """
from pathlib import Path
from tests import cpu_budget
def pytest_addoption(parser): parser.addoption(cpu_budget.WRITE, action="store_true")
def pytest_configure(config): config.pluginmanager.register(cpu_budget.CpuBudget(config))
cpu_budget.SMALL = 0.2
cpu_budget.BUDGETS = Path("cpu_seconds.json").absolute()
"""
DEAR = """
import subprocess, sys
def test_dear():
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 1: pass"], check=True)
"""


def burn(seconds: float) -> list[str]:
    return [sys.executable, "-c", BURN.format(seconds)]


def run_tests(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command, cwd=folder, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two files of tests, one of them dear by what a child takes."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_dear.py").write_text(DEAR)
    (tmp_path / "test_cheap.py").write_text("def test_cheap(): pass\n")
    return tmp_path


def test_seconds_of_children_count_once_they_ended_and_before() -> None:
    before = cpu_seconds()
    subprocess.run(burn(0.3), check=True)
    after_one = cpu_seconds()
    with subprocess.Popen(burn(60)) as child:
        while cpu_seconds() < after_one + 0.3:
            assert child.poll() is None
        child.kill()

    assert after_one - before > 0.25


def test_a_file_beyond_twice_its_budget_fails_the_run_until_the_budget_is_written(project: Path) -> None:
    workers = ("-p", "xdist", "-n", "1")
    (project / "cpu_seconds.json").write_text(json.dumps({"fast test_other.py": 1}))

    exceeded = run_tests(project, *workers)
    written = run_tests(project, *workers, "--write-cpu-budget")
    known = run_tests(project, *workers)

    assert [run.returncode for run in (exceeded, written, known)] == [1, 0, 0]
    assert "2 passed" in exceeded.stdout
    assert "fast test_dear.py took 1." in exceeded.stdout
    assert list(read_budgets(project / "cpu_seconds.json")) == ["fast test_dear.py", "fast test_other.py"]


def test_a_file_by_itself_is_measured_and_not_judged(project: Path) -> None:
    alone = run_tests(project, "test_dear.py")

    assert alone.returncode == 0
    assert re.search(r"1\.\d s +0\.2 s +fast test_dear.py", alone.stdout)


def test_a_small_file_needs_no_budget_and_a_large_one_may_take_twice_its_own() -> None:
    taken = {"fast small": 19.9, "fast new": 20.1, "fast large": 59.0, "acceptance large": 61.0}

    assert too_dear(taken, {"fast large": 30, "acceptance large": 30}) == ["fast new", "acceptance large"]
    assert too_dear(taken, {"fast large": 30}) == ["fast new"]  # of the other lane nothing is known yet


def test_written_budgets_leave_other_files_alone_and_small_ones_out(tmp_path: Path) -> None:
    path = tmp_path / "budgets.json"
    path.write_text(json.dumps({"fast other": 20, "fast shrunk": 20, "fast grown": 20}))

    write_budgets({"fast shrunk": 9.0, "fast grown": 29.2}, path)

    assert read_budgets(path) == {"fast grown": 30, "fast other": 20}
