from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from jobs.config import CONF_FOLDER, ConfigError, load_runtime, load_scenario
from jobs.examples.tables import check_fields
from jobs.stage import make_run

GROCERY = (CONF_FOLDER / "grocery.yaml").read_text(encoding="utf-8")


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[str], list[str]]:
    """Loads a scenario's text and returns its problems, without the folder of the file."""

    def load(text: str) -> list[str]:
        path = tmp_path / "shop.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_scenario(str(path))
        return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]

    return load


@pytest.mark.parametrize(
    "scenario", sorted(file.stem for file in CONF_FOLDER.glob("*.yaml") if file.stem != "local")
)
def test_every_scenario_of_the_project_is_valid(scenario: str) -> None:
    assert load_scenario(scenario).name == scenario


def test_an_unknown_scenario_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no scenario 'grocry': conf/ has .*grocery"):
        load_scenario("grocry")


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        pytest.param("bought_before:", "bougt_before:", "did you mean 'bought_before'?", id="misspelled key"),
        pytest.param("training_weeks: 13", "training_weeks: 0", "greater than 0, got 0", id="out of range"),
        pytest.param("training_weeks: 13", "training_weeks: many", "valid integer", id="wrong type"),
        pytest.param("head: multilabel", "head: multilable", "got 'multilable'", id="unknown value"),
        pytest.param("  validation_days: 7\n", "", "validation_days: Field required", id="missing key"),
        pytest.param("purchase: 1.0}", "purchases: 1.0}", "unknown tasks ['purchases']", id="unknown task"),
        pytest.param(
            "min_baskets_together: 20\n",
            "min_baskets_together: 20\n  reasons: {task: buy}\n",
            "unknown tasks ['buy']",
            id="reasons of an unknown task",
        ),
        pytest.param("last_day: 2017", "last_day: 2016", "is before first_day", id="days reversed"),
        pytest.param("table: recommendations", "table: event", "got 'event'", id="check of no table"),
        pytest.param(
            "measure: psi, column: item_price_28d",
            "measure: psi",
            "psi and unknown_ids need a column",
            id="drift of no column",
        ),
        pytest.param(
            "measure: duplicate_keys", "measure: funnel_order", "needs its funnel", id="order of no funnel"
        ),
        pytest.param(
            "measure: duplicate_keys",
            "measure: funnel_order, funnel: [click, cart]",
            "is of the table events",
            id="order of no events",
        ),
        pytest.param("at_most: 0}", "at_least: null}", "needs at_least or at_most", id="check without bound"),
        pytest.param(
            "validation_days: 7",
            "validation_days: 7\n  calibration_days: 3",
            "calibration_days (3) are for tasks with a calibration: []",
            id="days for nothing",
        ),
        pytest.param(
            "loss_weight: 1.0, ",
            "loss_weight: 1.0, calibration: platt, ",
            "calibration_days (0) are for tasks with a calibration: ['purchase']",
            id="calibration without days",
        ),
        pytest.param(
            "training_weeks: 13",
            "training_weeks: 13\n  attributed_within: request",
            "attributed_within is for anchors that are events",
            id="attribution to a day",
        ),
        pytest.param(
            "\nfeatures:",
            "\nfeatures:\n  declared: [{entity: context, measure: count, events: [click]}]",
            "features of context are of the place of an anchor event",
            id="place of a day",
        ),
        pytest.param("name: grocery", "name: ../grocery", "lower-case letters", id="a name that is a path"),
    ],
)
def test_an_error_names_the_line_and_what_to_do(
    problems: Callable[[str], list[str]], right: str, wrong: str, problem: str
) -> None:
    assert right in GROCERY

    found = problems(GROCERY.replace(right, wrong, 1))

    assert any(line.startswith("shop.yaml:") and problem in line for line in found), found


def test_the_line_of_an_error_is_its_line_in_the_file(problems: Callable[[str], list[str]]) -> None:
    line = next(n for n, text in enumerate(GROCERY.splitlines(), 1) if "bought_before:" in text)

    found = problems(GROCERY.replace("bought_before:", "bougt_before:"))

    assert f"shop.yaml:{line}: candidates.bougt_before: unknown key: did you mean 'bought_before'?" in found


def test_all_errors_are_told_at_once(problems: Callable[[str], list[str]]) -> None:
    spoiled = GROCERY.replace("training_weeks: 13", "training_weeks: 0").replace(
        "surface: home", "surfice: home"
    )

    found = "\n".join(problems(spoiled))

    assert "training_weeks" in found
    assert "did you mean 'surface'" in found


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "name: [", "just words"])
def test_what_is_no_mapping_is_refused_with_its_file(problems: Callable[[str], list[str]], text: str) -> None:
    assert problems(text)[0].startswith("shop.yaml:")


@pytest.mark.parametrize(
    "day", [date(2016, 12, 31), date(2018, 1, 1)], ids=["before the log", "after the log"]
)
def test_a_date_outside_the_log_is_refused(home: Path, day: date) -> None:
    with pytest.raises(ConfigError, match=f"--date {day}: the log of grocery has the days 2017-01-01 to"):
        make_run("grocery", day)


MOVIES_1M = (CONF_FOLDER / "movies_1m.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("found", "changed", "message"),
    [
        ("{day: 2000-02-01}", "{column: ts, unit: seconds}", "examples.folds are for logs without times"),
        ("  folds: 5 # the first judges\n", "", "examples.folds are for logs without times"),
        ("last_day: 2000-02-01", "last_day: 2000-02-02", "a log without times has one day"),
        ("anchor: rating", "anchor: user_day", "a log without times has no user-days"),
        ("refit: true", "refit: true\n  warm_start: {max_age_days: 6}", "no days for"),
    ],
)
def test_a_log_without_times_has_one_day_and_folds(
    tmp_path: Path, found: str, changed: str, message: str
) -> None:
    assert MOVIES_1M.count(found) == 1
    path = tmp_path / "movies.yaml"
    path.write_text(MOVIES_1M.replace(found, changed), encoding="utf-8")

    with pytest.raises(ConfigError, match=message):
        load_scenario(str(path))


def test_a_model_of_a_log_without_times_reads_nothing_that_changes_from_day_to_day(tmp_path: Path) -> None:
    path = tmp_path / "movies.yaml"
    field = "{kind: id, name: department_id}"
    path.write_text(MOVIES_1M.replace(field, "{kind: numeric, name: item_rating_count}"), encoding="utf-8")

    check_fields(load_scenario("movies_1m"))
    with pytest.raises(ValueError, match=r"\['item_rating_count'\] of a log without times"):
        check_fields(load_scenario(str(path)))


def test_a_digest_changes_with_its_sections_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(GROCERY.replace("training_weeks: 13", "training_weeks: 12"), encoding="utf-8")

    one, other = load_scenario("grocery"), load_scenario(str(path))

    assert one.digest("logs", "features") == other.digest("logs", "features")
    assert one.digest("logs", "examples") != other.digest("logs", "examples")


def test_another_runtime_is_chosen_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("master: spark://host:7077\ndriver_memory: 8g\nshuffle_partitions: 64\n")

    monkeypatch.setenv("NIGHTSHELF_RUNTIME", str(path))

    assert load_runtime().master == "spark://host:7077"
