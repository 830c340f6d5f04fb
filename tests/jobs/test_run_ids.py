from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from jobs.config import ConfigError, load_scenario
from jobs.exit_codes import EXIT_USAGE
from jobs.learn import evaluate_model, train_model
from jobs.logs import ingest_logs
from jobs.nightly import last_run_id
from jobs.nightly import main as nightly_main
from jobs.publish import publish_run, write_report
from jobs.recommend import build_recommendations
from jobs.stage import Run, make_run, run_stage
from tests.small_log import FIRST_DAY

DAY = FIRST_DAY + timedelta(days=30)
MAINS = {
    "ingest": ingest_logs.main,
    "train": train_model.main,
    "evaluate": evaluate_model.main,
    "recommend": build_recommendations.main,
    "publish": publish_run.main,
    "report": write_report.main,
    "the night": nightly_main,
}


def record(run: Run, stage: str = "ingest") -> None:
    run_stage(stage, lambda run, lake: {}, run)


@pytest.mark.parametrize("main", [pytest.param(main, id=name) for name, main in MAINS.items()])
@pytest.mark.parametrize("run_id", ["../../../victim", "..", ".", "", "a/b", "a b", "a\n", "a" * 101])
def test_no_command_takes_a_run_id_that_is_no_file_name(
    main: object, run_id: str, home: Path, small_scenario: Path
) -> None:
    assert callable(main)
    victim = home.parent / "victim" / "file"
    victim.parent.mkdir()
    victim.touch()

    code = main(["--scenario", str(small_scenario), "--date", str(DAY), "--run-id", run_id])

    assert code == EXIT_USAGE
    assert victim.exists()
    assert not home.exists()


@pytest.mark.parametrize("run_id", ["small-2017-01-31-0a1b2c3d", "manual__2017-01-31T00-00-00+00-00", "..."])
def test_a_file_name_is_a_run_id(run_id: str, home: Path, small_scenario: Path) -> None:
    assert make_run(str(small_scenario), DAY, run_id).run_id == run_id


def test_a_run_goes_on_under_its_own_name_on_its_own_date(home: Path, small_scenario: Path) -> None:
    record(make_run(str(small_scenario), DAY, "r1"))

    for stage in ("ingest", "train"):  # once more, and the next
        record(make_run(str(small_scenario), DAY, "r1"), stage)

    record(make_run(str(small_scenario), DAY + timedelta(1)))
    assert last_run_id(make_run(str(small_scenario), DAY)) == "r1"


def test_the_name_of_a_run_is_of_no_other_date(home: Path, small_scenario: Path) -> None:
    record(make_run(str(small_scenario), DAY, "r1"))
    record(make_run(str(small_scenario), DAY, "r2"))

    with pytest.raises(ConfigError, match=r"'r1' is on record for small 2017-01-31: give small 2017-02-01"):
        make_run(str(small_scenario), DAY + timedelta(1), "r1")
    make_run(str(small_scenario), DAY + timedelta(1), "r3")


def test_the_name_of_a_run_is_of_no_other_scenario(home: Path, small_scenario: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(small_scenario.read_text()) | {"name": "other"}
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(content, sort_keys=False))
    record(make_run(str(other), DAY, "r1"))

    with pytest.raises(ConfigError, match=r"'r1' is on record for other 2017-01-31: give small"):
        make_run(str(small_scenario), DAY, "r1")


@pytest.mark.parametrize("name", ["../up", "a" * 61, "Grocery", ""])
def test_a_scenario_has_a_name_that_a_folder_may_have(name: str, small_scenario: Path) -> None:
    content = yaml.safe_load(small_scenario.read_text()) | {"name": name}
    small_scenario.write_text(yaml.safe_dump(content, sort_keys=False))

    with pytest.raises(ConfigError, match="up to 60 lower-case letters"):
        load_scenario(str(small_scenario))
