"""A real local Airflow: what `make airflow` starts, and what becomes of it."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.published_night import DAY, PublishedNight, read_published

REPOSITORY = Path(__file__).resolve().parents[2]
AIRFLOW = str(Path(sys.executable).parent / "airflow")
NIGHTSHELF = str(Path(sys.executable).parent / "nightshelf")
MACHINE = ("PATH", "JAVA_HOME", "JDK_JAVA_OPTIONS", "NIGHTSHELF_RUNTIME")
DAYS = [date(2017, 5, 19), date(2017, 5, 20)]


def wait_for(what: str, is_true: Callable[[], Any], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not is_true():
        assert time.monotonic() < deadline, f"no {what} within {timeout_seconds} s"
        time.sleep(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def local_airflow() -> Iterator[subprocess.Popen[str]]:
    """Starts a local Airflow below NIGHTSHELF_HOME and stops it as Ctrl-C does."""
    starter = subprocess.Popen(
        [sys.executable, "-m", "setup.local_airflow", "start", "--port", str(free_port())],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert starter.stderr is not None
    try:
        said = ""
        for line in starter.stderr:
            said += line
            if line.startswith("Stop:"):
                break
        assert "Airflow runs" in said, said
        yield starter
    finally:
        starter.send_signal(signal.SIGINT)
        starter.communicate(timeout=120)


def call_airflow(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The airflow command, from another folder, with nothing but AIRFLOW_HOME set."""
    environment = {**os.environ, "AIRFLOW_HOME": str(home / "airflow")}
    command = [AIRFLOW, *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


def unpause_nightly(home: Path) -> None:
    done = call_airflow(home, "dags", "unpause", "nightly")
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def suspended(starter: subprocess.Popen[str]) -> Iterator[None]:
    """Lets all of Airflow stand still.

    A backfill that is created while the scheduler writes may find SQLite locked, and stays half-created.
    """
    parts = psutil.Process(starter.pid).children(recursive=True)
    for part in parts:
        with suppress(psutil.NoSuchProcess):
            part.suspend()
    try:
        yield
    finally:
        for part in parts:
            with suppress(psutil.NoSuchProcess):
                part.resume()


def create_backfill(
    starter: subprocess.Popen[str], home: Path, scenario: str, days: Sequence[date], *options: str
) -> None:
    """Asks for the days, once Airflow has closed the backfill before, a while after its last run."""
    wait_for("end of the backfill before", lambda: not open_backfills(home), timeout_seconds=120)
    range_of_days = ["--from-date", str(days[0]), "--to-date", str(days[-1]), "--max-active-runs", "1"]
    command = ["backfill", "create", "--dag-id", "nightly", *range_of_days, *options]
    command += ["--dag-run-conf", json.dumps({"scenario": scenario})]
    for _ in range(10):
        with suspended(starter):
            done = call_airflow(home, *command)
        if done.returncode == 0:
            return
        assert not open_backfills(home), (
            done.stdout + done.stderr
        )  # else it stood still with the lock in hand
        time.sleep(2)
    raise AssertionError(done.stdout + done.stderr)


def open_backfills(home: Path) -> int:
    return int(ask_airflow(home, "SELECT count(*) FROM backfill WHERE completed_at IS NULL")[0][0])


def run_states(home: Path) -> dict[str, str]:
    """State of each backfilled run, by its day."""
    return dict(
        ask_airflow(home, "SELECT date(logical_date), state FROM dag_run WHERE run_type = 'backfill'")
    )


def ask_airflow(home: Path, query: str) -> list[tuple[Any, ...]]:
    """From its database, for the airflow command takes its time."""
    with closing(sqlite3.connect(f"file:{home}/airflow/airflow.db?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


@pytest.mark.acceptance
def test_stopping_leaves_no_process_while_spark_runs(home: Path) -> None:
    with local_airflow() as starter:
        unpause_nightly(home)  # it runs for yesterday at once
        started: list[psutil.Process] = []

        def spark_runs() -> bool:
            started[:] = psutil.Process(starter.pid).children(recursive=True)
            return any(process.name() == "java" for process in started)

        wait_for("Spark JVM", spark_runs, timeout_seconds=300)

    assert starter.returncode == 0
    assert [process for process in started if process.is_running()] == []


@pytest.mark.acceptance
@pytest.mark.timeout(5400)
def test_nights_by_airflow_once_more_and_by_hand_have_equal_content(home: Path, scenario: str) -> None:
    with local_airflow() as starter:
        unpause_nightly(home)
        create_backfill(starter, home, scenario, DAYS)
        wait_for("end of the backfill", lambda: ended(home, DAYS), timeout_seconds=2400)
        first_states, first_content = run_states(home), read_published(home, DAYS)

        create_backfill(starter, home, scenario, DAYS, "--reprocess-behavior", "completed")
        wait_for("end of the second backfill", lambda: ended(home, DAYS), timeout_seconds=2400)
        second_states, second_content = run_states(home), read_published(home, DAYS)

    by_hand = home / "by_hand"
    command = [NIGHTSHELF, "backfill", "--scenario", scenario, "--from", str(DAYS[0]), "--to", str(DAYS[-1])]
    subprocess.run(command, env={**os.environ, "NIGHTSHELF_HOME": str(by_hand)}, check=True)

    assert first_states == second_states == dict.fromkeys(map(str, DAYS), "success")
    assert first_content == second_content == read_published(by_hand, DAYS)
    assert all(first_content.values())


def ended(home: Path, days: Sequence[date]) -> bool:
    states = run_states(home)
    return len(states) == len(days) and set(states.values()) <= {"success", "failed"}


@pytest.mark.timeout(1800)
def test_a_night_by_the_dag_has_the_content_of_one_by_hand(
    home: Path, night_scenario: Path, request: pytest.FixtureRequest
) -> None:
    run_dags_test(home, str(night_scenario))
    published_night: PublishedNight = request.getfixturevalue("published_night")  # by now another has run it

    assert read_published(home, [DAY]) == published_night.content
    assert all(published_night.content.values())


def run_dags_test(home: Path, scenario: str) -> None:
    """`airflow dags test` of the night of DAY, which needs only AIRFLOW_HOME and the folder of the DAGs."""
    machine = {name: os.environ[name] for name in MACHINE if name in os.environ}
    environment = {
        **machine,
        "AIRFLOW_HOME": str(home / "bare_airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "NIGHTSHELF_HOME": str(home),  # else the test would write to the repository's own lake
    }
    subprocess.run([AIRFLOW, "db", "migrate"], env=environment, cwd=home, check=True)
    command = [AIRFLOW, "dags", "test", "nightly", str(DAY), "--conf", json.dumps({"scenario": scenario})]
    night = subprocess.run(command, env=environment, cwd=home, stdout=subprocess.PIPE, text=True, check=False)
    assert night.returncode == 0, night.stdout
