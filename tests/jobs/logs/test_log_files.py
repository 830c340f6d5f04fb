import datetime as dt
import logging
from pathlib import Path

import pytest

from jobs.lake.catalog import REPOSITORY
from jobs.logs.log_files import list_files, list_landing_files, root_of

DAY = dt.date(2017, 12, 1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for name in (
        "events.csv", "date=2017-12-01/a.csv", "date=2017-12-01/b.csv.gz", "date=2017-12-01/_SUCCESS",
        "date=2017-12-01/.a.csv.crc", "date=2017-12-01/part/c.csv", "date=2017-12-02/d.csv",
        "2017/12/01/e.csv", "log-20171201.csv", "odd [1] {2}/é #?.csv",
    ):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        pytest.param("events.csv", ["events.csv"], id="a file"),
        pytest.param("date=2017-12-02", ["date=2017-12-02/d.csv"], id="a folder"),
        pytest.param(
            "date={date}",
            ["date=2017-12-01/a.csv", "date=2017-12-01/b.csv.gz", "date=2017-12-01/part/c.csv"],
            id="all below a landing folder, without hidden files",
        ),
        pytest.param("date={date}/*.csv", ["date=2017-12-01/a.csv"], id="a pattern in a landing folder"),
        pytest.param(
            "date={date}/*",
            ["date=2017-12-01/a.csv", "date=2017-12-01/b.csv.gz", "date=2017-12-01/part/c.csv"],
            id="a pattern that matches a folder",
        ),
        pytest.param("{date:%Y/%m/%d}/*.csv", ["2017/12/01/e.csv"], id="folders of years, months and days"),
        pytest.param("log-{date:%Y%m%d}.csv", ["log-20171201.csv"], id="a file a day"),
        pytest.param("date=*/?.csv", ["date=2017-12-01/a.csv", "date=2017-12-02/d.csv"], id="wildcards"),
        pytest.param("nothing/*.csv", [], id="nothing"),
    ],
)
def test_a_pattern_names_its_files(log: Path, pattern: str, names: list[str]) -> None:
    assert [file.name for file in list_files(str(log), pattern, DAY)] == names


def test_landing_files_carry_their_day_and_a_gap_is_told(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        files = list_landing_files(str(log), "date={date}/*.csv", (DAY, dt.date(2017, 12, 3)), needed=None)

    assert [(file.name, file.day) for file in files] == [
        ("date=2017-12-01/a.csv", DAY),
        ("date=2017-12-02/d.csv", dt.date(2017, 12, 2)),
    ]
    assert "nothing landed on 2017-12-03" in caplog.text


def test_a_night_that_comes_before_its_log_is_told_so(log: Path) -> None:
    with pytest.raises(ValueError, match=r"date=2017-12-03/\*.csv: nothing has landed for 2017-12-03"):
        list_landing_files(
            str(log), "date={date}/*.csv", (DAY, dt.date(2017, 12, 3)), needed=dt.date(2017, 12, 3)
        )


def test_a_relative_path_is_below_the_project_and_a_uri_stays() -> None:
    assert root_of("../shared/data") == str(REPOSITORY.parent / "shared" / "data")
    assert root_of("s3://bucket/log") == "s3://bucket/log"
