from datetime import date, timedelta

import pytest

from jobs.lake.lake import Lake
from jobs.logs.tables import ITEMS
from jobs.publish.content_digest import digest_night
from jobs.publish.publish_run import publish_run
from tests.jobs.publish.conftest import WriteNight, replace_day

DAY = date(2017, 5, 1)
BREAD, MILK = {"item_id": "1", "title": "bread"}, {"item_id": "2", "title": "milk"}


def digests(lake: Lake) -> dict[str, tuple[int, str]]:
    return {found.name: (found.rows, found.digest) for found in digest_night(lake, DAY)}


def test_another_run_of_equal_rows_in_another_order_has_the_same_digests(
    lake: Lake, write_night: WriteNight
) -> None:
    publish_run(write_night(DAY, "r1", users=("u1", "u2", "u3")), lake)
    before = digests(lake)

    publish_run(write_night(DAY, "r2", users=("u3", "u1", "u2")), lake)

    assert digests(lake) == before
    assert before["recommendations"][0] == 6


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([BREAD, {**MILK, "title": "oats"}], id="another value"),
        pytest.param([BREAD, {**MILK, "title": None}], id="null"),
        pytest.param([BREAD], id="a row less"),
        pytest.param([BREAD, MILK, MILK], id="a row twice"),
        pytest.param([BREAD, BREAD, MILK, MILK], id="all rows twice"),
        pytest.param([], id="none"),
    ],
)
def test_other_rows_have_another_digest(lake: Lake, rows: list[dict[str, str]]) -> None:
    replace_day(lake, ITEMS, DAY, [BREAD, MILK])
    before = digests(lake)["items"]

    replace_day(lake, ITEMS, DAY, rows)

    found = digests(lake)["items"]
    assert found[0] == len(rows)
    assert found[1] != before[1]


def test_rows_count_up_to_the_day_after_the_night(lake: Lake) -> None:
    replace_day(lake, ITEMS, DAY + timedelta(days=1), [BREAD])
    before = digests(lake)["items"]

    replace_day(lake, ITEMS, DAY + timedelta(days=2), [MILK])

    assert digests(lake)["items"] == before
    assert before[0] == 1
