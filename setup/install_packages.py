"""Installs what requirements.lock names into .venv with pip, version by version as written.

The resolver does not choose again, because it cannot: torch and petastorm ask for versions of
setuptools that exclude each other (docs/decisions/0001-dependencies.md).
"""

import json
import logging
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

NEWER_PIP = "pip==26.3"  # from 25 on, --dry-run downloads no package where the index serves metadata
KNOWN_CONFLICT = re.compile(r"petastorm 0\.13\.1 has requirement setuptools<70, but you have setuptools \S+")

logger = logging.getLogger(__name__)


class PackageError(Exception):
    """An installation that failed, and where its log is."""


class Pip:
    """The pip of one virtual environment; its full output goes to a log file."""

    def __init__(self, python: Path, log: Path) -> None:
        self.python = str(python)
        self.log = log

    def run(self, *arguments: str, label: str, packages: int = 0) -> None:
        """Runs pip, shows how far it is; `packages` is the number of packages it will name."""
        command = [self.python, "-m", "pip", *arguments]
        with (
            self.log.open("a", encoding="utf-8") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        ):
            seen = 0
            for line in process.stdout or ():
                log.write(line)
                seen += line.startswith(("Collecting ", "Processing ", "Requirement already satisfied"))
                show_progress(label, line, seen, packages)
        end_progress()
        if process.returncode != 0:
            last_lines = "".join(self.log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:])
            raise PackageError(f"{last_lines}\n{label} failed; the whole log: {self.log}")

    def answer(self, *arguments: str) -> str:
        command = [self.python, "-m", "pip", *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout


def show_progress(label: str, line: str, seen: int, packages: int) -> None:
    """Redraws one line on a terminal; elsewhere says something every fifty packages."""
    writes_files = line.startswith("Installing collected packages")
    if not sys.stderr.isatty():
        if writes_files:
            logger.info("  %s: unpacking", label)
        elif packages and seen and seen % 50 == 0 and line.startswith(("Collecting ", "Processing ")):
            logger.info("  %s: %s of %s", label, seen, packages)
        return
    count = f" {seen}/{packages}" if packages else ""
    step = "unpacking all of them, this takes a minute" if writes_files else line.strip()[:60]
    sys.stderr.write(f"\r\033[K  {label}{count}: {step}")
    sys.stderr.flush()


def end_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")


def upgrade_pip(pip: Pip) -> None:
    pip.run("install", NEWER_PIP, label="pip")


def install_torch(pip: Pip, lock: Path, pyproject: Path) -> None:
    """The release that pyproject.toml names; without a GPU its CPU build, which is ten times smaller."""
    requirement = torch_requirement(pyproject)
    if has_gpu():
        logger.info("A GPU was found: installing %s with its CUDA libraries", requirement)
    elif not brings_cuda(pip, requirement):
        pip.run("install", "--no-deps", requirement, label=requirement)
        return
    elif install_cpu_build(pip, requirement):
        return
    else:
        logger.info("The CPU build could not be fetched: installing %s with CUDA libraries", requirement)
    pip.run("install", "--constraint", str(lock), requirement, label=requirement)


def torch_requirement(pyproject: Path) -> str:
    """`torch==X`, without a local suffix: pip then takes the build that its index holds."""
    dependencies = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    return next(str(dependency) for dependency in dependencies if dependency.startswith("torch=="))


def has_gpu() -> bool:
    if not shutil.which("nvidia-smi"):
        return False
    return subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, check=False).returncode == 0


def brings_cuda(pip: Pip, requirement: str) -> bool:
    """Whether the file that pip would choose needs NVIDIA's libraries."""
    answer = pip.answer(
        "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", requirement
    )
    if not answer.strip():
        raise PackageError(
            f"pip finds no {requirement} for this machine and Python {sys.version.split()[0]}."
        )
    (torch,) = json.loads(answer)["install"]
    return any(re.match(r"(nvidia|cuda)-", needed) for needed in torch["metadata"].get("requires_dist", ()))


def install_cpu_build(pip: Pip, requirement: str) -> bool:
    """Asks uv, which knows where torch's own CPU builds are; False if that place cannot be reached."""
    logger.info("No GPU was found: installing the CPU build of %s", requirement)
    pip.run("install", "uv", label="uv")
    command = [pip.python, "-m", "uv", "pip", "install", "--python", pip.python]
    result = subprocess.run([*command, "--torch-backend=cpu", "--no-deps", requirement], check=False)
    return result.returncode == 0


def install_lock(pip: Pip, lock: Path) -> None:
    packages = len(re.findall(r"^[\w.-]+==", lock.read_text(encoding="utf-8"), flags=re.MULTILINE))
    pip.run(
        "install", "--no-deps", "--requirement", str(lock), label="packages of the lock", packages=packages
    )


def install_project(pip: Pip, repo: Path) -> None:
    pip.run("install", "--no-deps", "--no-build-isolation", "--editable", str(repo), label="nightshelf")


def check_packages(pip: Pip) -> None:
    """Accepts exactly the one conflict that cannot be resolved, which does no harm at run time."""
    conflicts = pip.answer("check").strip().splitlines()
    if len(conflicts) != 1 or not KNOWN_CONFLICT.fullmatch(conflicts[0]):
        found = "\n  ".join(conflicts)
        raise PackageError(
            f"`pip check` must name petastorm's setuptools<70 and nothing else, got\n  {found}"
        )
