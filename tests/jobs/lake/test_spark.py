import subprocess
import sys
import time
from pathlib import Path

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


ARCHIVE = """
import sys
from pathlib import Path
from jobs.lake import class_archive, spark

spark.CLASS_ARCHIVE = Path(sys.argv[1])
class_archive.write_class_archive(spark.CLASS_ARCHIVE)
"""
MAP = """
import sys
from pathlib import Path
from jobs.config import load_runtime
from jobs.lake import spark

spark.CLASS_ARCHIVE = Path(sys.argv[1])
runtime = load_runtime()
log = spark.with_java_option(runtime.spark_settings, f"-Xlog:class+load:file={sys.argv[2]}")
spark.start_spark(runtime.model_copy(update={"spark_settings": log})).range(10).count()
"""


@pytest.mark.acceptance
def test_a_session_maps_the_classes_that_an_earlier_one_has_loaded(tmp_path: Path) -> None:
    archive, log = tmp_path / "classes.jsa", tmp_path / "classes.log"

    subprocess.run([sys.executable, "-c", ARCHIVE, archive], check=True)
    subprocess.run([sys.executable, "-c", MAP, archive, log], check=True)

    mapped = sum("shared objects file (top)" in line for line in log.open())
    assert mapped > 5_000
    assert {*tmp_path.iterdir()} == {archive, log}


def test_a_damaged_archive_of_classes_is_left_aside(tmp_path: Path) -> None:
    archive, log = tmp_path / "classes.jsa", tmp_path / "classes.log"
    archive.write_text("not an archive")

    subprocess.run([sys.executable, "-c", MAP, archive, log], check=True)

    assert "shared objects file (top)" not in log.read_text()
