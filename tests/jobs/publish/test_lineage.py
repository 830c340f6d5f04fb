from datetime import date, timedelta

import pytest

from jobs.features.tables import USER_DAYS
from jobs.lake.lake import Lake
from jobs.publish.lineage import trace
from jobs.publish.publications import PUBLISHED, Publication, publish, utc_now
from jobs.publish.publish_run import current_snapshots, publish_run
from jobs.recommend.tables import RECOMMENDATIONS
from tests.jobs.publish.conftest import WriteNight, replace_day

DAY = date(2017, 5, 1)


def rewrite(lake: Lake) -> None:
    """Writes the day's recommendations once more, from themselves and a tile."""
    lake.files(USER_DAYS)
    rows = lake.read_arrow(RECOMMENDATIONS).drop_columns(["ds"]).to_pylist()
    replace_day(lake, RECOMMENDATIONS, DAY, rows)


def test_lineage_leads_from_a_published_table_to_what_was_read(lake: Lake, write_night: WriteNight) -> None:
    run = write_night(DAY, "r1")
    first_version = lake.snapshot_id(RECOMMENDATIONS)
    rewrite(lake)
    publish_run(run, lake)

    ancestor = trace(lake, "recommendations", DAY)

    assert ancestor.written_by["run-id"] == "r1"
    assert [(parent.table, parent.snapshot_id) for parent in ancestor.inputs] == [
        ("recommendations", first_version),
        ("user_days", lake.snapshot_id(USER_DAYS)),
    ]


def test_lineage_does_not_lead_from_night_to_night_within_a_table(
    lake: Lake, write_night: WriteNight
) -> None:
    write_night(DAY, "r1")
    lake.lineage = {"run-id": "r2", "date": str(DAY)}
    rewrite(lake)
    snapshots = current_snapshots(lake)
    publish(lake, Publication(DAY, "r2", utc_now(), PUBLISHED, "m1", snapshots))

    assert [parent.table for parent in trace(lake, "recommendations", DAY).inputs] == ["user_days"]


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
