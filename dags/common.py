"""What the DAGs share: how every task is run, and how a job is started by its file name.

A job runs in the virtual environment that Airflow itself runs in. Where Spark runs is said in the file
that the jobs read too: conf/local.yaml, or the one that $NIGHTSHELF_RUNTIME names.
"""

import hashlib
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Param

from dags.spark_pool import SPARK_POOL

logger = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parents[1]
RUNTIME = yaml.safe_load(
    Path(os.environ.get("NIGHTSHELF_RUNTIME") or REPOSITORY / "conf" / "local.yaml").read_text("utf-8")
)

# A connection of the environment goes before one in Airflow's database: set it there for another master.
SPARK_CONNECTION = "nightshelf_spark"
os.environ.setdefault(
    f"AIRFLOW_CONN_{SPARK_CONNECTION.upper()}", json.dumps({"conn_type": "spark", "host": RUNTIME["master"]})
)

ENVIRONMENT = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # spark-submit, torchrun
    "PYSPARK_PYTHON": sys.executable,
    "SPARK_LOCAL_IP": os.environ.get("SPARK_LOCAL_IP", "127.0.0.1"),
}

DEFAULT_ARGS = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=2),
    "weight_rule": "upstream",  # a night under way goes before one that has yet to start
}

SCENARIO = Param(
    "grocery",
    type="string",
    pattern=r"^[A-Za-z0-9_./-]+$",
    description="A file of conf/ without .yaml, or the path of one.",
)


_LONGEST_RUN_ID = 100


def name_run(scenario: str, run_id: str) -> str:
    """The run id for the jobs, of whose files it names some: the scenario's name, then Airflow's run id."""
    name = f"{Path(scenario).stem}-{run_id}"
    fitting = re.sub(r"[^A-Za-z0-9_.~+-]", "-", name)
    if len(fitting) <= _LONGEST_RUN_ID:
        return fitting
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{fitting[: _LONGEST_RUN_ID - len(digest) - 1]}-{digest}"


def warn_of_late_night(context: dict[str, Any]) -> None:
    """Called once a run misses its deadline; send it to the people on duty from here."""
    run = context["dag_run"]
    logger.error(
        "%s %s has not ended by %s", run["dag_id"], run["dag_run_id"], context["deadline"]["deadline_time"]
    )


def spark_job(task_id: str, module: str, arguments: Sequence[str], **settings: Any) -> SparkSubmitOperator:
    """A module that Spark starts by its file, in a session of its own."""
    return SparkSubmitOperator(
        task_id=task_id,
        application=f"{REPOSITORY / module.replace('.', '/')}.py",
        application_args=list(arguments),
        name=f"nightshelf-{task_id}",
        conn_id=SPARK_CONNECTION,
        driver_memory=RUNTIME["driver_memory"],
        env_vars=ENVIRONMENT,
        pool=SPARK_POOL,
        **settings,
    )


def python_job(task_id: str, module: str, arguments: Sequence[str], **settings: Any) -> BashOperator:
    """A module that starts what it needs by itself: torchrun, many days in one Spark session, or nothing.

    It takes the same slot as a Spark job, for it may take as much memory.
    """
    quoted = [f'"{argument}"' for argument in arguments]  # shlex would hide the templates in them
    return BashOperator(
        task_id=task_id,
        bash_command=" ".join(["exec", shlex.quote(sys.executable), "-m", module, *quoted]),
        cwd=str(REPOSITORY),
        env=ENVIRONMENT,
        append_env=True,
        pool=SPARK_POOL,
        **settings,
    )
