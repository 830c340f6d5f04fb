"""petastorm's own tests of its reader and its loader, on the compatibility module.

They need what nothing else here does: pip install --no-deps opencv-python-headless mock pytest-logger
"""

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SITE = Path(__file__).with_name("petastorm_site")
REQUIREMENTS = {"cv2": "opencv-python-headless", "mock": "mock", "pytest_logger": "pytest-logger"}
MODULES = ("test_parquet_reader", "test_pytorch_dataloader")
NOT_OURS = {
    # torch has these types today; on the pyarrow that petastorm was written for they fail as well
    "test_torch_tensorable_types[uint16]",
    "test_torch_tensorable_types[uint32]",
    # calls the old pyarrow itself
    "test_asymetric_parquet_pieces[<lambda>]",
}


@pytest.mark.acceptance
def test_petastorms_own_tests_pass_but_for_those_that_are_not_about_the_compatibility_module(
    tmp_path: Path,
) -> None:
    missing = [package for module, package in REQUIREMENTS.items() if not importlib.util.find_spec(module)]
    if missing:
        pytest.skip(f"petastorm's tests need {missing}")
    spec = importlib.util.find_spec("petastorm")
    assert spec is not None
    assert spec.origin is not None
    own = Path(spec.origin).parent / "tests"
    search = os.pathsep.join([str(SITE), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(own)]
    options += ["--logger-logsdir", str(tmp_path / "logs"), f"--junitxml={tmp_path / 'report.xml'}"]

    completed = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(str(own / f"{module}.py") for module in MODULES)],
        env={**os.environ, "PYTHONPATH": search, "PYSPARK_PYTHON": sys.executable},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    cases = list(ET.parse(tmp_path / "report.xml").iter("testcase"))
    assert len(cases) > 70, completed.stdout
    failed = {case.attrib["name"] for case in cases if case.findall("failure") or case.findall("error")}
    assert failed <= NOT_OURS, completed.stdout
