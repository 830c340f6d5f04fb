from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from jobs import nightly
from jobs.config import ConfigError
from jobs.exit_codes import EXIT_FAILED, EXIT_HELD, EXIT_USAGE, RunHeldError, exit_code_of
from jobs.lake.lake import Lake
from jobs.nightly import NightFailedError, backfill, last_run_id, repair, run_night
from jobs.stage import RUN_STAGES, RowCounts, Run, hold_date, make_run
from jobs.stages import BULK_STAGES, STAGES, load_stage
from tests.small_log import FIRST_DAY

DAY = FIRST_DAY + timedelta(days=30)


def note_stage(run: Run, lake: Lake) -> RowCounts:
    """A stage that leaves its name in a file; it fails where a file `broken-<stage>` says so."""
    stage = lake.lineage["job"]
    if (run.home / f"broken-{stage}").exists():
        raise ValueError(f"{stage} is broken")
    with (run.home / "ran.txt").open("a") as file:
        file.write(f"{run.date} {stage}\n")
    return {"events": 3}


@pytest.fixture
def stages_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Puts `note_stage` in the place of every stage; returns what ran."""
    home.mkdir()
    monkeypatch.setattr("jobs.nightly.load_stage", lambda stage: note_stage)
    monkeypatch.setattr("jobs.bulk_stages.build_forgotten", lambda stage, run: {})
    return lambda: [line.split()[1] for line in (home / "ran.txt").read_text().splitlines()]


def test_a_night_runs_all_stages_in_order_and_records_them(
    small_scenario: Path, stages_run: Callable[[], list[str]], lake: Lake
) -> None:
    run = run_night(str(small_scenario), DAY)

    assert stages_run() == list(STAGES)
    records = lake.read_arrow(RUN_STAGES).sort_by("started_at").to_pylist()
    assert [(row["run_id"], row["stage"], row["status"]) for row in records] == [
        (run.run_id, stage, "succeeded") for stage in STAGES
    ]
    assert records[0]["row_counts"] == [("events", "3")]


def test_a_failed_stage_ends_the_night_but_not_the_report(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path, lake: Lake
) -> None:
    (home / "broken-train").touch()

    with pytest.raises(NightFailedError, match=r"train is broken\n.*--date 2017-01-31 --from-stage train"):
        run_night(str(small_scenario), DAY)

    assert stages_run() == ["ingest", "tiles", "features", "candidates", "examples", "report"]
    failed = [row for row in lake.read_arrow(RUN_STAGES).to_pylist() if row["status"] == "failed"]
    assert [(row["stage"], row["error"]) for row in failed] == [("train", "ValueError: train is broken")]


def test_from_stage_goes_on_with_the_last_run_of_the_day(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path
) -> None:
    (home / "broken-publish").touch()
    with pytest.raises(NightFailedError):
        run_night(str(small_scenario), DAY, run_id="r1")
    (home / "broken-publish").unlink()

    run = run_night(str(small_scenario), DAY, from_stage="publish")

    assert run.run_id == "r1"
    assert stages_run()[-3:] == ["report", "publish", "report"]


def test_from_stage_needs_a_run_to_go_on_with(
    small_scenario: Path, stages_run: Callable[[], list[str]]
) -> None:
    with pytest.raises(ValueError, match="has never been run: leave out --from-stage"):
        run_night(str(small_scenario), DAY, from_stage="publish")


def test_backfill_builds_in_bulk_and_then_runs_each_night(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path
) -> None:
    runs = backfill(str(small_scenario), DAY, DAY + timedelta(days=1))

    assert [run.date for run in runs] == [DAY, DAY + timedelta(days=1)]
    assert stages_run() == [*BULK_STAGES, *STAGES, *STAGES]
    assert (home / "ran.txt").read_text().startswith(f"{DAY + timedelta(days=1)} ingest")


def test_a_repair_builds_what_rests_on_the_log_and_publishes_nothing(
    small_scenario: Path, stages_run: Callable[[], list[str]]
) -> None:
    assert repair(str(small_scenario), DAY).date == DAY

    assert stages_run() == list(BULK_STAGES)


def test_a_repair_that_failed_is_repeated_and_not_gone_on_with_as_a_night(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path
) -> None:
    (home / "broken-tiles").touch()

    with pytest.raises(
        NightFailedError, match=r"tiles is broken\n.*: nightshelf repair .*--date 2017-01-31$"
    ):
        repair(str(small_scenario), DAY)


def test_backfill_goes_on_after_a_failed_night_and_names_it(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path
) -> None:
    (home / "broken-publish").touch()

    with pytest.raises(NightFailedError, match=r"2017-01-31: publish failed[^$]*2017-02-01: publish failed"):
        backfill(str(small_scenario), DAY, DAY + timedelta(days=1))


def test_a_failed_bulk_part_says_that_no_night_was_run_and_how_to_begin_again(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path
) -> None:
    (home / "broken-tiles").touch()

    with pytest.raises(NightFailedError) as failure:
        backfill(str(small_scenario), DAY, DAY + timedelta(days=1))

    assert str(failure.value).splitlines() == [
        "the bulk part, up to 2017-02-01: tiles failed: tiles is broken",
        "No night has been run. Once that is mended: "
        f"nightshelf backfill --scenario {small_scenario} --from 2017-01-31 --to 2017-02-01",
    ]
    assert stages_run() == ["ingest"]


@pytest.mark.parametrize(
    "held", [0, 1, 2], ids=["first day", "a day between", "last day, and so the bulk part"]
)
def test_backfill_goes_on_after_a_held_date_and_names_the_holder(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path, held: int
) -> None:
    days = [DAY + timedelta(days=number) for number in range(3)]

    with (
        hold_date(make_run(str(small_scenario), days[held], "the-holder")),
        pytest.raises(RunHeldError, match=rf"^small {days[held]} is held by .*the-holder.*$"),
    ):
        backfill(str(small_scenario), days[0], days[2])

    ran = [line.split()[0] for line in (home / "ran.txt").read_text().splitlines() if line.endswith("report")]
    assert ran == [str(day) for day in days if day != days[held]]


def test_failures_of_any_kind_and_held_dates_are_all_named(
    small_scenario: Path,
    stages_run: Callable[[], list[str]],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One night fails in a stage, one before its first, one for a reason that nobody has thought of."""
    days = [DAY + timedelta(days=number) for number in range(5)]
    errors = {days[1]: ConfigError(["no such key"]), days[2]: KeyError("odd")}

    def run_some(scenario: str, day: date) -> Run:
        if day in errors:
            raise errors[day]
        (home / "broken-publish").touch()
        if day != days[0]:
            (home / "broken-publish").unlink()
        return run_night(scenario, day)

    monkeypatch.setattr(nightly, "run_night", run_some)
    with (
        hold_date(make_run(str(small_scenario), days[3], "the-holder")),
        pytest.raises(NightFailedError) as failure,
    ):
        backfill(str(small_scenario), days[0], days[4])

    lines = str(failure.value).splitlines()
    assert [line for line in lines if "2017-01-31: publish failed" in line]
    assert [line for line in lines if "2017-02-01: " in line and "no such key" in line]
    assert "2017-02-02: KeyError: 'odd'" in lines
    assert [line for line in lines if "small 2017-02-03 is held by" in line and "the-holder" in line]
    assert "Traceback" in caplog.text
    assert (home / "ran.txt").read_text().splitlines()[-1] == "2017-02-04 report"
    assert exit_code_of(failure.value) == EXIT_FAILED


@pytest.mark.parametrize(
    ("first", "last"),
    [(DAY, DAY - timedelta(days=1)), (date(2016, 1, 1), DAY), (DAY, date(2019, 1, 1))],
    ids=["reversed", "before the log", "after the log"],
)
def test_a_wrong_range_is_refused_before_anything_runs(
    small_scenario: Path, stages_run: Callable[[], list[str]], home: Path, first: date, last: date
) -> None:
    with pytest.raises(ValueError, match=r"is before --from|the log of small has the days"):
        backfill(str(small_scenario), first, last)

    assert not (home / "ran.txt").exists()


def test_a_held_date_names_its_holder_and_exits_with_3(
    small_scenario: Path, stages_run: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    holder = make_run(str(small_scenario), DAY, "the-holder")
    arguments = ["--scenario", str(small_scenario), "--date", str(DAY)]

    with hold_date(holder):
        code = nightly.main(arguments)

    assert code == EXIT_HELD
    assert "the-holder" in caplog.text
    assert nightly.main(arguments) == 0


def test_other_dates_are_not_held(small_scenario: Path, home: Path) -> None:
    one, other = (make_run(str(small_scenario), day) for day in (DAY, DAY + timedelta(days=1)))

    with hold_date(one), hold_date(other), pytest.raises(RunHeldError), hold_date(one):
        pytest.fail("held twice")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["--date", "2016-01-01"], EXIT_USAGE, id="a date before the log"),
        pytest.param(["--date", "2019-01-01"], EXIT_USAGE, id="a date after the log"),
        pytest.param(
            ["--date", "2017-01-31", "--from-stage", "publish"], EXIT_FAILED, id="nothing to go on with"
        ),
    ],
)
def test_exit_codes(
    small_scenario: Path, stages_run: Callable[[], list[str]], arguments: list[str], code: int
) -> None:
    assert nightly.main(["--scenario", str(small_scenario), *arguments]) == code


def test_the_last_run_is_the_one_that_started_last(
    small_scenario: Path, stages_run: Callable[[], list[str]]
) -> None:
    for run_id in ("r2", "r1"):
        run = run_night(str(small_scenario), DAY, run_id=run_id)

    assert last_run_id(run) == "r1"


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_be_loaded(stage: str) -> None:
    assert callable(load_stage(stage))
