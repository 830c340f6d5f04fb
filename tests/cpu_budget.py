"""How many CPU seconds each test file may take, its child processes and the JVM included.

`cpu_seconds.json` has what a file took, for the fast lane and for the acceptance lane apart; files below
`SMALL` are left out. A run with workers fails where a file takes more than twice that. What is built once
for all files, Spark's JVM foremost, has a line of its own: which file pays for it is chance.
"""

import json
import math
import os
from collections import defaultdict
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

SMALL = 10  # seconds; below, starting up and chance are most of it
FACTOR = 2
NUM_SHOWN = 10
BUDGETS = Path(__file__).with_name("cpu_seconds.json")
WRITE = "--write-cpu-budget"


class CpuBudget:
    """Measures in each worker; the process that started them, or the only one, adds up and judges."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.taken: defaultdict[str, float] = defaultdict(float)  # CPU seconds of "lane file"
        self.shared = 0.0  # since the test began, by fixtures of the whole session
        self.within_shared = False

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Workers take files in this order: a dear one at the end would keep one of them alone."""
        if hasattr(self.config, "workerinput"):
            budgets = read_budgets(BUDGETS)
            items.sort(key=lambda item: -budgets.get(self.name_of(item), 0))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before, self.shared = cpu_seconds(), 0.0
        result = yield
        spent = max(0.0, cpu_seconds() - before - self.shared)
        self.taken[self.name_of(item)] += spent
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        if fixturedef.scope != "session" or self.within_shared:
            return (yield)
        before, self.within_shared = cpu_seconds(), True
        try:
            return (yield)
        finally:
            spent, self.within_shared = cpu_seconds() - before, False
            self.shared += spent
            self.taken[f"shared {fixturedef.argname}"] += spent

    def name_of(self, item: pytest.Item) -> str:
        lane = "acceptance" if item.get_closest_marker("acceptance") else "fast"
        return f"{lane} {item.path.relative_to(self.config.rootpath).as_posix()}"

    @pytest.hookimpl(optionalhook=True)  # it is of xdist
    def pytest_testnodedown(self, node: Any) -> None:
        for name, seconds in getattr(node, "workeroutput", {}).get("cpu_seconds", {}).items():
            self.taken[name] += seconds

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["cpu_seconds"] = dict(self.taken)
        elif self.config.getoption(WRITE):
            write_budgets(self.taken, BUDGETS)
        elif self.too_dear() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        budgets, minutes = read_budgets(BUDGETS), sum(self.taken.values()) / 60
        terminalreporter.section(f"CPU: {minutes:.1f} minutes; the dearest files, and their budgets")
        for seconds, name in sorted(zip(self.taken.values(), self.taken, strict=True), reverse=True)[
            :NUM_SHOWN
        ]:
            terminalreporter.line(f"{seconds:7.1f} s  {budgets.get(name, SMALL):4} s  {name}")
        for name in self.too_dear():
            terminalreporter.line(
                f"{name} took {self.taken[name]:.1f} s of CPU, more than {FACTOR} times its "
                f"{budgets.get(name, SMALL)} s: make it cheaper, or run it with {WRITE} and say why",
                red=True,
            )

    def too_dear(self) -> list[str]:
        """A file that runs alone, by hand, also warms up what other files would have warmed."""
        has_workers = self.config.getoption("numprocesses", None)
        return too_dear(self.taken, read_budgets(BUDGETS)) if has_workers else []


def cpu_seconds() -> float:
    """Of this process, of all below it, and of those below it that have ended."""
    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and the same of children that have ended
        except psutil.Error:  # it has just ended
            continue
    return total


def too_dear(taken: Mapping[str, float], budgets: Mapping[str, int]) -> list[str]:
    """The names beyond their budgets; a lane of which no budget has been written is not judged."""
    lanes = {lane_of(name) for name in budgets}
    return [
        name
        for name, seconds in taken.items()
        if lane_of(name) in lanes and seconds > FACTOR * budgets.get(name, SMALL)
    ]


def lane_of(name: str) -> str:
    return name.split(" ")[0]


def read_budgets(path: Path) -> dict[str, int]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_budgets(taken: Mapping[str, float], path: Path) -> None:
    """Those of the files that ran are new; those of files that are no more go."""
    kept = {name: seconds for name, seconds in read_budgets(path).items() if name not in taken}
    found = kept | {name: math.ceil(seconds) for name, seconds in taken.items() if seconds > SMALL}
    path.write_text(json.dumps(dict(sorted(found.items())), indent=2) + "\n", encoding="utf-8")
