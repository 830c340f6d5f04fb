import subprocess
import sys
import time

import psutil
import pytest

from jobs.lake.spark import run_together

START = """
import psutil
from jobs.config import load_runtime
from jobs.lake.spark import start_spark

start_spark(load_runtime()).range(10).count()
print([process.pid for process in psutil.Process().children(recursive=True) if process.name() == "java"][0])
"""


def test_the_jvm_ends_with_the_process_that_started_it() -> None:
    ended = subprocess.run([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True, check=True)

    assert not psutil.pid_exists(int(ended.stdout.split()[-1]))


def test_the_first_error_of_jobs_side_by_side_comes_once_all_have_ended() -> None:
    ended: list[str] = []

    def fail() -> None:
        raise ValueError("the first")

    def end() -> None:
        time.sleep(0.2)
        ended.append("second")

    with pytest.raises(ValueError, match="the first"):
        run_together([fail, end])
    assert ended == ["second"]
