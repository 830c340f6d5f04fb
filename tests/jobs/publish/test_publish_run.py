from datetime import UTC, date, datetime, timedelta

import pytest

from jobs.features.tables import user_features
from jobs.lake.lake import Lake
from jobs.logs.tables import EVENTS
from jobs.publish.checks import is_within, unique_columns
from jobs.publish.config import CheckConfig, PublishConfig
from jobs.publish.publications import read_publications, visible_publications
from jobs.publish.publish_run import ChecksFailedError, publish_run
from jobs.publish.query import run_query
from jobs.publish.rollback import roll_back
from jobs.publish.tables import QUALITY_CHECKS
from jobs.recommend.tables import ITEM_COMPLEMENTS, RECOMMENDATIONS
from jobs.stage import Run
from tests.jobs.publish.conftest import WriteNight, replace_day

DAY = date(2017, 5, 1)
NEXT_DAY = DAY + timedelta(days=1)


def seen(lake: Lake, sql: str) -> list[tuple[object, ...]]:
    return list(run_query(lake, sql).rows)


def runs_seen(lake: Lake) -> list[tuple[object, ...]]:
    return seen(lake, "SELECT DISTINCT ds, run_id FROM recommendations ORDER BY ds")


def with_check(run: Run, **check: object) -> Run:
    checks = (CheckConfig.model_validate({"name": "rule", "table": "recommendations", **check}),)
    scenario = run.scenario.model_copy(update={"publish": PublishConfig(checks=checks)})
    return Run(scenario, run.runtime, run.date, run.run_id, run.home)


def test_nothing_is_seen_before_it_is_published(lake: Lake, write_night: WriteNight) -> None:
    run = write_night(DAY, "r1")
    before = runs_seen(lake)

    publish_run(run, lake)

    assert before == []
    assert runs_seen(lake) == [(DAY, "r1")]


def test_publishing_twice_changes_nothing(lake: Lake, write_night: WriteNight) -> None:
    run = write_night(DAY, "r1")

    publish_run(run, lake)
    publish_run(run, lake)

    assert len(read_publications(lake)) == 1
    assert seen(lake, "SELECT count(*) FROM recommendations") == [(6,)]


def test_readers_keep_the_published_rows_while_the_day_is_written_anew(
    lake: Lake, write_night: WriteNight
) -> None:
    publish_run(write_night(DAY, "r1"), lake)

    write_night(DAY, "r2", items=("7",))

    assert seen(lake, "SELECT DISTINCT run_id, item_id FROM recommendations ORDER BY item_id") == [
        ("r1", "1"),
        ("r1", "2"),
    ]


def test_all_output_tables_switch_together(lake: Lake, write_night: WriteNight) -> None:
    publish_run(write_night(DAY, "r1"), lake)

    publish_run(write_night(DAY, "r2"), lake)

    tables = ("recommendations", "user_profiles", "coupon_recommendations", "quality_checks")
    for table in tables:
        assert seen(lake, f"SELECT DISTINCT run_id FROM {table}") == [("r2",)], table


def test_latest_is_the_newest_day_and_the_plain_name_all_days(lake: Lake, write_night: WriteNight) -> None:
    publish_run(write_night(NEXT_DAY, "r2"), lake)
    publish_run(write_night(DAY, "r1"), lake)

    assert runs_seen(lake) == [(DAY, "r1"), (NEXT_DAY, "r2")]
    assert seen(lake, "SELECT DISTINCT run_id FROM latest_recommendations") == [("r2",)]


@pytest.mark.parametrize(
    ("check", "value"),
    [
        pytest.param({"measure": "row_count", "at_least": 4}, 4, id="row_count"),
        pytest.param({"measure": "user_share", "at_least": 0.6}, 2 / 3, id="user_share"),
        pytest.param({"measure": "null_share", "column": "reason", "at_most": 0}, 0, id="null_share of none"),
        pytest.param({"measure": "null_share", "column": "utility", "at_most": 1}, 1, id="null_share of all"),
        pytest.param({"measure": "duplicate_keys", "at_most": 0}, 0, id="duplicate_keys"),
        pytest.param({"measure": "rows_against_trailing_mean", "at_least": 0.5}, 4 / 6, id="trailing mean"),
        pytest.param({"measure": "unknown_ids", "column": "item_id", "at_most": 0}, 0, id="unknown_ids"),
        pytest.param({"measure": "psi", "column": "rank", "at_most": 0.1}, 0, id="psi"),
    ],
)
def test_a_check_within_its_bounds_passes(
    lake: Lake, write_night: WriteNight, check: dict[str, object], value: float
) -> None:
    publish_run(write_night(DAY, "r1"), lake)
    run = with_check(write_night(NEXT_DAY, "r2", users=("u1", "u2")), **check)

    publish_run(run, lake)

    found = lake.read_arrow(QUALITY_CHECKS, (NEXT_DAY, NEXT_DAY)).to_pylist()
    assert [(row["value"], row["passed"]) for row in found] == [(pytest.approx(value), True)]


def test_what_the_output_rests_on_is_checked_on_the_days_it_rests_on(
    lake: Lake, write_night: WriteNight
) -> None:
    run = write_night(DAY, "r1")
    for before in range(4):
        clicks = [{"event_type": "click", "user_id": "u", "item_id": "1"}] * (2 + before)
        carts = [{"event_type": "cart", "user_id": user, "item_id": "1"} for user in ("u", "v")]
        at = {"event_time": datetime(2017, 5, 1, tzinfo=UTC) - timedelta(days=before)}
        replace_day(lake, EVENTS, DAY - timedelta(days=before), [{**row, **at} for row in clicks + carts])
    features = user_features(run.scenario.features)
    replace_day(lake, features, NEXT_DAY, [{"user_id": "u"}, {"user_id": "v", "user_day_count": 3}])
    checks = [
        {"table": "events", "measure": "rows_against_trailing_mean", "at_least": 0.1},
        {"table": "events", "measure": "funnel_order", "funnel": ("click", "cart"), "at_most": 0.6},
        {"table": "user_features", "measure": "null_share", "column": "user_day_count", "at_most": 0.6},
        {"table": "examples", "measure": "row_count", "at_most": 0},
        {"table": "item_features", "measure": "psi", "column": "item_price_28d", "at_most": 0},
    ]
    for number, check in enumerate(checks):
        run = with_check(run, **check, name=str(number))
        publish_run(run, lake)
        found = lake.read_arrow(QUALITY_CHECKS, (DAY, DAY)).to_pylist()
        expected = [4 / 6, 1 / 2, 1 / 2, 0, None][number]
        assert [(row["check"], row["value"]) for row in found] == [(str(number), expected)]


def test_the_first_night_has_nothing_to_compare_with(lake: Lake, write_night: WriteNight) -> None:
    run = with_check(write_night(DAY, "r1"), measure="rows_against_trailing_mean", at_least=0.5)

    publish_run(run, lake)

    assert lake.read_arrow(QUALITY_CHECKS)["value"].to_pylist() == [None]


def test_an_item_twice_on_a_shelf_is_a_duplicate(lake: Lake, write_night: WriteNight) -> None:
    run = with_check(write_night(DAY, "r1", items=("1", "1")), measure="duplicate_keys", at_most=0)

    with pytest.raises(ChecksFailedError, match="duplicate_keys of recommendations is 3, should"):
        publish_run(run, lake)


def test_a_failed_blocking_check_leaves_the_tables_of_before_serving(
    lake: Lake, write_night: WriteNight
) -> None:
    publish_run(write_night(DAY, "r1"), lake)
    run = with_check(write_night(DAY, "r2", users=("u1",)), measure="user_share", at_least=0.9)

    with pytest.raises(ChecksFailedError, match="not published, the tables of before keep serving"):
        publish_run(run, lake)

    assert runs_seen(lake) == [(DAY, "r1")]
    recorded = lake.read_arrow(QUALITY_CHECKS).to_pylist()
    assert [row["passed"] for row in recorded if row["run_id"] == "r2"] == [False]


def test_a_failed_check_that_does_not_block_is_published_and_recorded(
    lake: Lake, write_night: WriteNight
) -> None:
    run = with_check(write_night(DAY, "r1"), measure="row_count", at_least=100, blocking=False)

    publish_run(run, lake)

    assert runs_seen(lake) == [(DAY, "r1")]
    assert seen(lake, "SELECT passed FROM quality_checks") == [(False,)]


def test_a_check_of_a_column_that_does_not_exist_is_an_error(lake: Lake, write_night: WriteNight) -> None:
    run = with_check(write_night(DAY, "r1"), measure="null_share", column="colour", at_most=0)

    with pytest.raises(ValueError, match="check 'rule': recommendations has no column 'colour'"):
        publish_run(run, lake)

    assert runs_seen(lake) == []


def test_rows_of_another_run_are_not_published(lake: Lake, write_night: WriteNight) -> None:
    mine = write_night(DAY, "r1")
    write_night(DAY, "r2")

    with pytest.raises(ValueError, match="holds rows of r2, not of r1"):
        publish_run(mine, lake)

    assert runs_seen(lake) == []


def test_a_day_without_recommendations_is_not_published(lake: Lake, write_night: WriteNight) -> None:
    run = write_night(DAY, "r1")
    replace_day(lake, RECOMMENDATIONS, DAY, [])

    with pytest.raises(ValueError, match="recommendations has no rows for ds=2017-05-01"):
        publish_run(run, lake)


def test_tables_that_are_empty_or_missing_can_be_queried(lake: Lake, write_night: WriteNight) -> None:
    lake.load(ITEM_COMPLEMENTS)

    publish_run(write_night(DAY, "r1"), lake)

    assert seen(lake, "SELECT item_id, rank FROM latest_item_complements") == []


def test_a_rollback_shows_the_older_run_of_the_day(lake: Lake, write_night: WriteNight) -> None:
    publish_run(write_night(DAY, "r1"), lake)
    publish_run(write_night(DAY, "r2", items=("7",)), lake)

    roll_back(lake, "r1")

    assert seen(lake, "SELECT DISTINCT run_id, item_id FROM recommendations ORDER BY 2") == [
        ("r1", "1"),
        ("r1", "2"),
    ]


def test_a_rollback_hides_later_days_until_they_are_published_again(
    lake: Lake, write_night: WriteNight
) -> None:
    publish_run(write_night(DAY, "r1"), lake)
    publish_run(write_night(NEXT_DAY, "r2"), lake)

    roll_back(lake, "r1")
    after_rollback = runs_seen(lake)
    publish_run(write_night(NEXT_DAY, "r3"), lake)

    assert after_rollback == [(DAY, "r1")]
    assert runs_seen(lake) == [(DAY, "r1"), (NEXT_DAY, "r3")]


def test_a_rollback_to_an_unknown_run_names_those_that_are_known(lake: Lake, write_night: WriteNight) -> None:
    publish_run(write_night(DAY, "r1"), lake)

    with pytest.raises(ValueError, match=r"'r9' was never published; the newest published runs: r1"):
        roll_back(lake, "r9")


def test_a_backfilled_older_day_does_not_become_the_newest(lake: Lake, write_night: WriteNight) -> None:
    publish_run(write_night(NEXT_DAY, "r2"), lake)
    publish_run(write_night(DAY, "r1"), lake)

    assert list(visible_publications(read_publications(lake))) == [DAY, NEXT_DAY]


@pytest.mark.parametrize(
    ("value", "is_ok"),
    [(1.0, True), (2.0, True), (0.999, False), (2.001, False), (None, True)],
    ids=["lower bound", "upper bound", "below", "above", "nothing to compare"],
)
def test_bounds_are_included(value: float | None, is_ok: bool) -> None:
    assert is_within(value, at_least=1.0, at_most=2.0) is is_ok


def test_a_table_without_items_is_unique_by_its_key() -> None:
    assert unique_columns(ITEM_COMPLEMENTS) == ["item_id", "rank"]
    assert unique_columns(RECOMMENDATIONS) == ["surface", "user_id", "item_id"]
