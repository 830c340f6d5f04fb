"""`.bench-venv`: the rivals' packages, apart from the project's own environment.

It sees the packages of the environment it is made from, so that all contestants run on the very same torch;
what is installed goes into `.bench-venv` alone.
"""

import logging
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

logger = logging.getLogger(__name__)

REPO = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VENV = REPO / ".bench-venv"
STAMP = VENV / "requirements.txt"  # a copy of those that it was made for


def prepare_bench_venv() -> Path:
    """Its Python; makes it unless it is there for these requirements."""
    python = VENV / "bin" / "python"
    if STAMP.is_file() and STAMP.read_text() == REQUIREMENTS.read_text():
        return python
    logger.info("making %s", VENV)
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    variables = {"base": str(VENV), "platbase": str(VENV)}
    packages = Path(sysconfig.get_path("purelib", scheme="posix_prefix", vars=variables))
    (packages / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
    shutil.copyfile(REQUIREMENTS, STAMP)
    return python
