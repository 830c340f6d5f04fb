"""An Airflow plugin: where the pool that Spark runs in is missing, the scheduler makes it as it starts.

Two Spark sessions at once would share one machine's memory, so the pool has one slot. Airflow never
schedules a task whose pool does not exist. pyproject.toml names this plugin to Airflow.
"""

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

SPARK_POOL = "spark"


class MakeSparkPool:
    @hookimpl
    def on_starting(self, component: object) -> None:
        """Called by each part of Airflow; those that may use its database are Jobs."""
        from airflow.jobs.job import Job
        from airflow.models.pool import Pool
        from sqlalchemy.exc import IntegrityError

        if not isinstance(component, Job) or Pool.get_pool(SPARK_POOL):
            return
        try:
            Pool.create_or_update_pool(
                SPARK_POOL, slots=1, description="One Spark session at a time.", include_deferred=False
            )
        except IntegrityError:  # another part of Airflow, starting as well, was faster
            return


class SparkPoolPlugin(AirflowPlugin):
    name = "nightshelf_spark_pool"
    listeners = [MakeSparkPool()]  # noqa: RUF012, the base class has no ClassVar
