from datetime import date, timedelta

import pytest

from jobs.features.tables import USER_DAYS
from jobs.lake.lake import Lake
from jobs.publish.lineage import trace
from jobs.publish.publish_run import publish_run
from jobs.recommend.tables import RECOMMENDATIONS
from tests.jobs.publish.conftest import WriteNight, replace_day

DAY = date(2017, 5, 1)


def test_lineage_leads_from_a_published_table_to_what_was_read(lake: Lake, write_night: WriteNight) -> None:
    run = write_night(DAY, "r1")
    lake.files(USER_DAYS)
    replace_day(lake, RECOMMENDATIONS, DAY, lake.read_arrow(RECOMMENDATIONS).drop_columns(["ds"]).to_pylist())
    publish_run(run, lake)

    ancestor = trace(lake, "recommendations", DAY)

    assert ancestor.written_by["run-id"] == "r1"
    assert [parent.table for parent in ancestor.inputs] == ["user_days"]
    assert ancestor.inputs[0].snapshot_id == lake.snapshot_id(USER_DAYS)


def test_lineage_of_a_day_names_the_run_of_that_day(lake: Lake, write_night: WriteNight) -> None:
    publish_run(write_night(DAY, "r1"), lake)
    publish_run(write_night(DAY + timedelta(days=1), "r2"), lake)

    assert trace(lake, "recommendations", DAY).written_by["run-id"] == "r1"
    assert trace(lake, "recommendations", DAY + timedelta(days=1)).written_by["run-id"] == "r2"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("recommendations", "not been published for 2017"),
        ("user_days", "no rows"),
        ("cats", "no table"),
    ],
)
def test_what_cannot_be_traced_is_named(
    lake: Lake, write_night: WriteNight, table: str, message: str
) -> None:
    write_night(DAY, "r1")

    with pytest.raises(ValueError, match=message):
        trace(lake, table, DAY)
