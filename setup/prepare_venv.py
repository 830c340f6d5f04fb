"""`make setup`: Java for Spark, then .venv with the packages of requirements.lock and this project.

Done once: a later call finds its stamp and ends at once.
"""

import hashlib
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

from setup.install_java import JavaError, ensure_java
from setup.install_packages import (
    PackageError,
    Pip,
    check_packages,
    install_lock,
    install_project,
    install_torch,
    upgrade_pip,
)

REPO = Path(__file__).resolve().parents[1]
VENV = REPO / ".venv"
STAMP = VENV / "setup-stamp"
CLASS_ARCHIVE = VENV / "spark-classes.jsa"
LOCK = REPO / "requirements.lock"
PYPROJECT = REPO / "pyproject.toml"

logger = logging.getLogger(__name__)


def main() -> int:
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        ensure_java()
        if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted_stamp() and venv_runs():
            logger.info("Set up already: .venv holds what requirements.lock names.")
        else:
            prepare_venv()
        archive_classes()
    except (JavaError, PackageError) as error:
        logger.error("%s", error)
        return 1
    return 0


def prepare_venv() -> None:
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)
    CLASS_ARCHIVE.unlink(missing_ok=True)
    if not venv_runs():
        logger.info("Making .venv with Python %s", sys.version.split()[0])
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    logger.info("Installing the packages of requirements.lock: 2.7 GB, some minutes the first time")
    pip = Pip(VENV / "bin" / "python", log=VENV / "setup.log")
    upgrade_pip(pip)
    install_torch(pip, LOCK, PYPROJECT)
    install_lock(pip, LOCK)
    install_project(pip, REPO)
    check_packages(pip)
    STAMP.write_text(wanted_stamp(), encoding="utf-8")
    logger.info("Set up in %.0f s; .venv/bin/nightshelf doctor checks the rest.", time.monotonic() - started)


def archive_classes() -> None:
    """Writes what makes Spark start faster (jobs/lake/class_archive.py); nothing depends on it."""
    if CLASS_ARCHIVE.is_file():
        return
    logger.info("Running a first Spark job, and keeping the classes that it loads for a faster start")
    command = [str(VENV / "bin" / "python"), "-m", "jobs.lake.class_archive"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        logger.warning("It failed; Spark starts as slowly as it does elsewhere:\n%s", done.stderr[-2000:])


def venv_runs() -> bool:
    """Whether .venv was made here (its scripts hold absolute paths) and for this Python series."""
    try:
        answer = subprocess.run(
            [VENV / "bin" / "pip", "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    series = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"from {VENV}/" in answer.stdout and f"(python {series})" in answer.stdout


def wanted_stamp() -> str:
    """A digest of the files that decide what is installed."""
    return hashlib.sha256(LOCK.read_bytes() + PYPROJECT.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
