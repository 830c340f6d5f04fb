"""The bulk path: a whole range of days in one Spark session.

`airflow backfill create --dag-id nightly` gives the same tables, night by night.
"""

import pendulum
from airflow.sdk import Param, dag

from dags.common import DEFAULT_ARGS, SCENARIO, python_job


@dag(
    schedule=None,
    start_date=pendulum.datetime(2017, 1, 1, tz="UTC"),
    is_paused_upon_creation=False,  # nothing is scheduled: a paused one would only hold back who triggers it
    max_active_runs=1,
    params={
        "scenario": SCENARIO,
        "from": Param(type="string", format="date", description="The first day, 2017-11-01."),
        "to": Param(type="string", format="date", description="The last day, itself included."),
    },
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["nightshelf"],
)
def backfill() -> None:
    days = ["--from", "{{ params['from'] }}", "--to", "{{ params.to }}"]
    python_job("backfill", "jobs.cli", ["backfill", "--scenario", "{{ params.scenario }}", *days])


backfill()
