import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.run_ids import check_run_id

STAGES = [
    "ingest",
    "tiles",
    "features",
    "candidates",
    "examples",
    "train",
    "evaluate",
    "recommend",
    "publish",
    "report",
]
MIDNIGHT = datetime(2017, 12, 2, tzinfo=UTC)
NEXT_MORNING = datetime(2017, 12, 3, 10, 15, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def test_dag_files_import_neither_torch_nor_spark_nor_jobs(tmp_path: Path) -> None:
    code = "import sys, dags.nightly, dags.backfill, dags.spark_pool; print(*sys.modules)"
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}

    imported = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert not {"torch", "pyspark", "jobs", "mtl_model"} & set(imported.stdout.split())


def test_nightly_runs_one_stage_after_the_other(nightly: Any) -> None:
    followers = {task.task_id: task.downstream_task_ids for task in nightly.tasks}

    assert followers == {**{stage: {follower} for stage, follower in pairwise(STAGES)}, "report": set()}


def test_nightly_is_daily_from_2017_and_starts_paused(nightly: Any) -> None:
    assert type(nightly.timetable).__name__ == "CronDataIntervalTimetable"
    assert nightly.timetable.expression == "0 0 * * *"
    assert nightly.start_date == datetime(2017, 1, 1, tzinfo=UTC)
    assert nightly.is_paused_upon_creation
    assert not nightly.catchup
    assert nightly.max_active_runs == 1
    assert nightly.params["scenario"] == "grocery"


def test_a_late_night_raises_an_alert(nightly: Any) -> None:
    (deadline,) = nightly.deadline

    assert deadline.interval == timedelta(hours=3)
    assert deadline.callback.path == "dags.common.warn_of_late_night"


def test_spark_and_training_share_one_slot_and_are_tried_again(nightly: Any) -> None:
    for task in nightly.tasks:
        assert task.pool == "spark"
        assert task.pool_slots == 1
        assert task.retries == 2
        assert task.retry_exponential_backoff > 1


def test_publish_updates_the_assets_of_the_published_tables(nightly: Any) -> None:
    outlets = {asset.name for asset in nightly.get_task("publish").outlets}

    assert outlets == {"recommendations", "coupon_recommendations", "item_complements", "user_profiles"}


def test_a_failed_night_has_a_report_and_has_still_failed(nightly: Any) -> None:
    report = nightly.get_task("report")

    assert report.is_teardown  # it runs whatever happened before it
    assert not report.on_failure_fail_dagrun  # else it would decide the run's state in place of publish


def test_every_stage_starts_a_job_that_exists(nightly: Any) -> None:
    for task in nightly.tasks:
        if task.task_type == "SparkSubmitOperator":
            assert Path(task.application).is_file()
        else:
            module = task.bash_command.split(" -m ")[1].split()[0]
            assert find_spec(module), module


def test_every_stage_is_told_the_same_scenario_date_and_run(nightly: Any) -> None:
    spark_arguments = [
        task.application_args for task in nightly.tasks if task.task_type == "SparkSubmitOperator"
    ]

    assert all(arguments == spark_arguments[0] for arguments in spark_arguments)
    assert spark_arguments[0][::2] == ["--scenario", "--date", "--run-id"]


@pytest.mark.parametrize(
    ("logical_date", "interval_start"),
    [
        pytest.param(MIDNIGHT, MIDNIGHT, id="scheduled or backfilled: the interval's start"),
        pytest.param(MIDNIGHT, MIDNIGHT - ONE_DAY, id="by hand for a midnight: the day that begins there"),
        pytest.param(NEXT_MORNING, MIDNIGHT, id="by hand for now: the last complete day"),
        pytest.param(None, None, id="by hand for no date: the last complete day"),
    ],
)
def test_the_run_date_is_the_day_that_is_meant(
    nightly: Any, logical_date: datetime | None, interval_start: datetime | None
) -> None:
    from airflow.sdk.execution_time.context import MacrosAccessor

    from dags.nightly import RUN_DATE

    context: dict[str, object] = {
        "dag_run": SimpleNamespace(data_interval_start=interval_start, run_after=NEXT_MORNING),
        "macros": MacrosAccessor(),
    }
    if logical_date:  # Airflow leaves these names out of a run without a logical date
        context |= {"ds": f"{logical_date:%Y-%m-%d}", "ts_nodash": f"{logical_date:%Y%m%dT%H%M%S}"}

    run_date = nightly.get_template_env().from_string(RUN_DATE).render(context)

    assert run_date == "2017-12-02"


@pytest.mark.parametrize(
    ("scenario", "airflow_id", "run_id"),
    [
        pytest.param(
            "grocery",
            "scheduled__2017-12-02T00:00:00+00:00",
            "grocery-scheduled__2017-12-02T00-00-00+00-00",
            id="an instant",
        ),
        pytest.param("/home/me/conf/my.shop.yaml", "manual__1", "my.shop-manual__1", id="a path"),
        pytest.param("../up.yaml", '../"$(id)"', "up-..----id--", id="anything"),
        pytest.param("..", "..", "..-..", id="dots"),
    ],
)
def test_the_run_id_names_the_scenario_and_is_fit_for_paths(
    nightly: Any, scenario: str, airflow_id: str, run_id: str
) -> None:
    from dags.nightly import RUN_ID

    context = {"params": {"scenario": scenario}, "run_id": airflow_id}

    rendered = nightly.get_template_env().from_string(RUN_ID).render(context)

    assert rendered == run_id
    check_run_id(rendered)


def test_long_run_ids_of_airflow_stay_apart(nightly: Any) -> None:
    from dags.common import name_run

    names = [name_run("grocery", "x" * 200 + end) for end in "ab"]

    assert names[0] != names[1]
    for name in names:
        check_run_id(name)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param("grocery; rm -rf /", id="a shell command"),
        pytest.param('grocery" --date 2017-01-01', id="a quotation mark"),
        pytest.param("$(id)", id="a substitution"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_scenario_that_is_no_name_is_refused(nightly: Any, scenario: str) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        nightly.params.get_param("scenario").resolve(scenario)


def test_backfill_wraps_the_bulk_path(backfill: Any) -> None:
    (task,) = backfill.tasks

    assert "-m jobs.cli" in task.bash_command
    assert list(backfill.params) == ["scenario", "from", "to"]
    assert not backfill.is_paused_upon_creation
