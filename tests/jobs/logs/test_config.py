import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.config import ConfigError, load_scenario
from tests.jobs.logs.mapped_log import FIRST_DAY, mapped_logs, mapping
from tests.small_log import write_scenario


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[str]]:
    """Loads a scenario with a mapped log and returns its problems, without the file's name and line."""

    def load(*events: dict[str, Any], **changes: Any) -> list[str]:
        of_log = {"source": "mapped", "time_zone": "Asia/Shanghai", "events": list(events) or [mapping()]}
        path = write_scenario(tmp_path / "shop.yaml", tmp_path, logs={**of_log, **changes})
        try:
            load_scenario(str(path))
        except ConfigError as error:
            return [problem.split(": ", 1)[1] for problem in error.problems]
        return []

    return load


def test_a_mapped_log_is_valid(problems: Callable[..., list[str]]) -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"user_id": None}, "user_id: Field required", id="no user"),
        pytest.param(
            {"item_id": None}, "item_id is missing: events of type cart, favorite, purchase", id="no item"
        ),
        pytest.param({"user_id": {"column": "a", "value": "b"}}, "give either column or value", id="both"),
        pytest.param({"event_time": {"unit": "seconds"}}, "give either column or day", id="neither"),
        pytest.param({"event_time": {"column": "ts", "unit": "hours"}}, "got 'hours'", id="unknown unit"),
        pytest.param(
            {"event_time": {"column": "ts", "time_zone": "Shanghai"}}, "not a time zone", id="no such zone"
        ),
        pytest.param(
            {"event_time": {"day": dt.date(2016, 1, 1)}}, "the log begins on", id="a constant day outside"
        ),
        pytest.param(
            {"event_type": {"column": "a", "values": {"pv": "View"}}}, "got 'View'", id="no name of a type"
        ),
        pytest.param({"user": "u"}, "unknown key", id="no such column"),
        pytest.param(
            {"price": {"column": "p", "decimal": 2}}, "did you mean 'decimals'", id="misspelled key"
        ),
        pytest.param(
            {"price": {"column": "p", "decimals": 7}}, "less than or equal to 6", id="too many decimals"
        ),
        pytest.param({"files": {"format": "avro", "path": "x"}}, "'avro'", id="unknown format"),
        pytest.param({"files": {"format": "parquet", "path": "x", "delimiter": ","}}, "unknown", id="of CSV"),
        pytest.param(
            {"files": {"format": "csv", "path": "{day}/x"}}, "only {date}", id="unknown placeholder"
        ),
        pytest.param(
            {"files": {"format": "csv", "path": "{date:%Y-%m}/x"}}, "with %Y, %m and %d", id="no day"
        ),
        pytest.param(
            {"files": {"format": "csv", "path": "x", "columns": ["a", "b", "a"]}}, "['a'] are named twice",
            id="a column named twice",
        ),
        pytest.param(
            {"files": {"format": "jsonl", "path": "x", "encoding": "utf8x"}}, "not an encoding", id="encoding"
        ),
        pytest.param({"files": {"format": "csv", "path": "/x"}}, "must not start with /", id="absolute path"),
    ],
)  # fmt: skip
def test_an_error_in_the_mapping_names_its_place(
    problems: Callable[..., list[str]], change: dict[str, Any], problem: str
) -> None:
    found = problems(mapping(**change))

    assert any(line.startswith("logs") and problem in line for line in found), found


def test_all_errors_are_told_at_once(problems: Callable[..., list[str]]) -> None:
    found = "\n".join(
        problems(
            mapping(user_id=None, event_time={"column": "ts", "unit": "hours"}),
            items={"files": {"format": "csv", "path": "{date}/items.csv"}, "item_id": "i"},
            late_horizon_days=-1,
        )
    )

    assert "events.0.user_id: Field required" in found
    assert "events.0.event_time.unit" in found
    assert "the catalogue is read whole every night" in found
    assert "logs.late_horizon_days" in found


def test_files_of_one_path_are_read_in_one_way(problems: Callable[..., list[str]]) -> None:
    other = mapping(files={"format": "csv", "path": "events.csv", "delimiter": ";"})

    assert problems(mapping(), mapping()) == []
    assert any("the same files, got two for events.csv" in line for line in problems(mapping(), other))


def test_features_and_labels_are_over_types_that_the_log_has(tmp_path: Path) -> None:
    returned = mapping(event_type={"column": "a", "values": {"r": "return", "x": None}})
    logs = {"source": "mapped", "time_zone": "UTC", "events": [returned]}
    counts = [{"entity": "user", "measure": "count", "events": [name]} for name in ("return", "retrun")]
    for count, problem in zip(counts, (None, r"unknown event types \['retrun'\]"), strict=True):
        path = write_scenario(tmp_path / "shop.yaml", tmp_path, logs=logs, features={"declared": [count]})
        if problem is None:
            load_scenario(str(path))
            continue
        with pytest.raises(ConfigError, match=problem):
            load_scenario(str(path))


@pytest.mark.parametrize(
    "change",
    [{"where": {"a": {}}}, {"event_type": []}, {"where": {"a": {"is": "b"}}}],
    ids=["an empty condition", "no event type", "an unknown condition"],
)
def test_a_mapping_that_says_nothing_is_refused(
    problems: Callable[..., list[str]], change: dict[str, Any]
) -> None:
    assert problems(mapping(**change))


def test_an_unknown_source_names_the_known_ones(problems: Callable[..., list[str]]) -> None:
    assert any("'completejourney', 'mapped'" in line for line in problems(source="kafka"))


def test_a_log_without_last_day_goes_on(tmp_path: Path) -> None:
    assert mapped_logs(tmp_path, last_day=None).last_day is None


@pytest.mark.parametrize(
    ("path", "column", "is_told"),
    [("events.csv", None, False), ("{date}/events.csv", None, True), ("events.csv", "at", True)],
    ids=["neither", "landing folders", "a column"],
)
def test_a_log_may_tell_late_rows_from_new_ones(
    tmp_path: Path, path: str, column: str | None, is_told: bool
) -> None:
    logs = mapped_logs(tmp_path, mapping(files={"format": "csv", "path": path}, ingested_at=column))

    assert logs.tells_ingestion is is_told


def test_the_landing_days_of_a_night(tmp_path: Path) -> None:
    logs = mapped_logs(tmp_path, late_horizon_days=2)
    night, known_through = dt.date(2017, 11, 29), dt.date(2017, 11, 30)

    assert logs.landing_days((FIRST_DAY, FIRST_DAY), known_through) == (FIRST_DAY, dt.date(2017, 11, 27))
    assert logs.landing_days((night, night), known_through) == (dt.date(2017, 11, 28), known_through)
