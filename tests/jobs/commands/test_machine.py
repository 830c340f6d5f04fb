import importlib.metadata
import socket
from pathlib import Path

import pytest

from jobs.commands.machine import (
    check_bf16,
    check_disk,
    check_memory,
    check_pins,
    check_port,
    check_python,
    java_version,
)
from jobs.config import load_runtime
from mtl_model.training import choose_precision
from mtl_model.training.choose_precision import ProductSeconds


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ('openjdk version "17.0.19" 2026-04-21', 17),
        ('java version "1.8.0_412"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("no java here", 0),
    ],
)
def test_java_versions_of_both_styles_are_read(answer: str, version: int) -> None:
    assert java_version(answer) == version


@pytest.mark.parametrize(("minor", "is_ok"), [(10, False), (11, True), (12, True), (13, False)])
def test_python_versions(minor: int, is_ok: bool) -> None:
    assert check_python((3, minor)).is_ok is is_ok


def test_a_home_that_does_not_exist_yet_is_measured_where_it_will_be(tmp_path: Path) -> None:
    home = tmp_path / "not" / "yet"
    runtime = load_runtime()

    assert check_disk(home, runtime.model_copy(update={"min_free_disk_gib": 0.001})).is_ok
    assert not check_disk(home, runtime.model_copy(update={"min_free_disk_gib": 1e9})).is_ok
    assert not home.exists()


def test_pins_are_compared_with_what_is_installed() -> None:
    installed = importlib.metadata.version("pydantic")
    lock = f"# a comment\npydantic=={installed}\n    # via us\nabsent==1.0 ; sys_platform == 'never'\n"

    assert check_pins(lock).is_ok
    assert "absent 0 instead of ==2.0" in check_pins(lock + "absent==2.0\n").found


def test_a_taken_port_is_a_warning_with_another_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check = check_port(server.getsockname()[1])

    assert (check.is_ok, check.is_needed) == (False, False)
    assert "AIRFLOW_PORT=" in check.fix


def test_little_memory_is_a_warning() -> None:
    assert not check_memory(4 << 30).is_ok
    assert check_memory(8 << 30).is_ok


@pytest.mark.parametrize(
    ("speedup", "choice", "found"),
    [
        (2.44, "bf16", "2.4 times as fast as fp32 in a matrix product: training.precision auto is bf16 here"),
        (0.7, "fp32", "0.7 times as fast as fp32 in a matrix product: training.precision auto is fp32 here"),
    ],
)
def test_bf16_is_measured_and_slow_is_no_fault_of_a_machine(
    speedup: float, choice: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = ProductSeconds(fp32=speedup, bf16=1.0)
    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: seconds)

    check = check_bf16()

    assert (check.is_ok, check.found) == (True, found)
    assert seconds.choice == choice
