"""Every night: the logs of the day that just ended -> features -> model -> published recommendations.

One task a stage. When a check fails, `publish` fails and yesterday's tables keep serving; the report is
written all the same, and says why.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import (
    Asset,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    SyncCallback,
    chain,
    dag,
)

from dags.common import DEFAULT_ARGS, SCENARIO, python_job, report_late_night, spark_job

PUBLISHED = [
    Asset("recommendations"),
    Asset("coupon_recommendations"),
    Asset("item_complements"),
    Asset("user_profiles"),
]

# The interval's day. A run by hand that names a midnight means the day that begins there, but Airflow
# gives it the interval before; one that names any other instant gets the last complete day.
RUN_DATE = "{{ ds if ts_nodash is defined and ts_nodash.endswith('T000000') else data_interval_start | ds }}"
RUN_ID = "{{ params.scenario }}"
