"""Every night: the logs of the day that just ended -> features -> model -> published recommendations.

One task a stage. When a check fails, `publish` fails and yesterday's tables keep serving; the report is
written all the same, and says why.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import Asset, CronDataIntervalTimetable, chain, dag
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from dags.common import DEFAULT_ARGS, SCENARIO, name_run, python_job, spark_job, warn_of_late_night

# Written by `python -m jobs.export_stages`, for a DAG file imports no job.
STAGES = json.loads((Path(__file__).parent / "stages.json").read_text(encoding="utf-8"))
PUBLISHED = [Asset(table) for stage in STAGES if stage["name"] == "recommend" for table in stage["tables"]]

# The interval's day. A run by hand that names a midnight means the day that begins there, but Airflow gives
# it the interval before; one that names another instant, or none, gets the last complete day.
RUN_DATE = (
    "{% if ts_nodash is defined and ts_nodash.endswith('T000000') %}{{ ds }}"
    "{% elif dag_run.data_interval_start %}{{ dag_run.data_interval_start | ds }}"
    "{% else %}{{ macros.ds_add(dag_run.run_after | ds, -1) }}{% endif %}"
)
RUN_ID = "{{ name_run(params.scenario, run_id) }}"
NIGHT = ["--scenario", "{{ params.scenario }}", "--date", RUN_DATE, "--run-id", RUN_ID]

DEADLINE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(hours=3),
    callback=SyncCallback(warn_of_late_night),
)
# `airflow dags test` exits with an error after a good run of any DAG with a deadline: apache/airflow#73428.
IS_DAGS_TEST = sys.argv[1:3] == ["dags", "test"]


@dag(
    # Airflow 3 reads a bare cron string as a point in time: the interval must be asked for.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=pendulum.datetime(2017, 1, 1, tz="UTC"),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
    params={"scenario": SCENARIO},
    user_defined_macros={"name_run": name_run},
    default_args=DEFAULT_ARGS,
    deadline=None if IS_DAGS_TEST else DEADLINE,
    doc_md=__doc__,
    tags=["nightshelf"],
)
def nightly() -> None:
    tasks = []
    for stage in STAGES:
        job = spark_job if stage["needs_spark"] else python_job
        task = job(
            stage["name"], stage["module"], NIGHT, outlets=PUBLISHED if stage["name"] == "publish" else []
        )
        # A teardown runs whatever happened before it, and does not decide whether the night succeeded.
        tasks.append(task.as_teardown() if stage["name"] == "report" else task)
    chain(*tasks)


nightly()
