"""Set-up without installing anything: what it asks of the machine, and what it says."""

import configparser
import os
import socket
import subprocess
from pathlib import Path

import pytest

from setup.install_java import parse_java_version
from setup.install_packages import KNOWN_CONFLICT, torch_requirement
from setup.local_airflow import AirflowError, check_port, write_settings

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        pytest.param('openjdk version "17.0.15" 2025-04-15', 17, id="a modern one"),
        pytest.param('java version "1.8.0_402"', 8, id="the old way of counting"),
        pytest.param('openjdk version "21" 2023-09-19', 21, id="the first of a series"),
        pytest.param("The operation couldn't be completed. Unable to locate a Java Runtime.", 0, id="none"),
    ],
)
def test_java_version_is_the_major_one(answer: str, version: int) -> None:
    assert parse_java_version(answer) == version


def test_torch_is_asked_for_by_version_without_a_local_suffix() -> None:
    assert torch_requirement(REPOSITORY / "pyproject.toml") == "torch==2.13.0"


@pytest.mark.parametrize(
    ("line", "is_known"),
    [
        pytest.param(
            "petastorm 0.13.1 has requirement setuptools<70, but you have setuptools 84.2.1.",
            True,
            id="known",
        ),
        pytest.param(
            "pandas 2.3.3 requires numpy, which is not installed.", False, id="a package is missing"
        ),
        pytest.param("No broken requirements found.", False, id="petastorm is missing"),
    ],
)
def test_only_petastorms_setuptools_may_conflict(line: str, is_known: bool) -> None:
    assert bool(KNOWN_CONFLICT.fullmatch(line)) == is_known


def test_the_lock_names_no_host_and_no_torch() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()

    assert "http" not in "".join(line for line in lock.splitlines() if line.startswith(("-", "#")))
    assert not any(line.startswith(("torch==", "nvidia", "--")) for line in lock.splitlines())


def test_a_missing_python_is_named_with_what_to_install(tmp_path: Path) -> None:
    found = subprocess.run(
        [REPOSITORY / "setup" / "find_python.sh"],
        env={"PATH": os.defpath, "PYTHON": "python2.7"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1
    assert "python2.7" in found.stderr
    assert "apt-get install python3.11-venv" in found.stderr


def test_make_without_a_target_lists_the_targets() -> None:
    listed = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout

    for target in ("setup", "demo", "test", "acceptance", "lint", "format", "lock", "airflow", "clean"):
        assert f"make {target} " in listed


def test_airflow_keeps_its_secrets_and_follows_the_port(tmp_path: Path) -> None:
    write_settings(tmp_path, port=8080)
    first = read_settings(tmp_path)
    write_settings(tmp_path, port=8090)
    second = read_settings(tmp_path)

    assert first["api_auth"]["jwt_secret"] == second["api_auth"]["jwt_secret"]
    assert second["core"]["execution_api_server_url"] == "http://127.0.0.1:8090/execution/"
    assert (tmp_path / "airflow.cfg").stat().st_mode & 0o077 == 0


def read_settings(home: Path) -> configparser.ConfigParser:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(home / "airflow.cfg")
    return settings


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(AirflowError, match="AIRFLOW_PORT"):
            check_port(other.getsockname()[1])
