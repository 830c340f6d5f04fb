from datetime import UTC, date, datetime, timedelta

import pytest

from jobs.lake.lake import Lake
from jobs.learn.registry import model_of_run, model_to_carry_on, promoted_models, serving_model
from jobs.learn.tables import MODEL_RUNS

DAY = date(2017, 3, 10)
_MODELS = [  # run, days after DAY, status, days from its run date to trained_through
    ("old", -9, "promoted", 0), ("newest", -2, "promoted", -7), ("rejected", -1, "rejected", 0),
    ("unjudged", 0, "trained", 0), ("later", 3, "promoted", 0), ("from the future", -1, "promoted", 5),
]  # fmt: skip


def trained_at(minute: int) -> dict[str, datetime]:
    return {"trained_at": datetime(2017, 3, 11, 2, minute, tzinfo=UTC)}


@pytest.fixture
def registry(lake: Lake) -> Lake:
    for run_id, after, status, trained in _MODELS:
        day = DAY + timedelta(after)
        trained_through = day + timedelta(trained)
        row = {
            "ds": day,
            "run_id": run_id,
            "status": status,
            "trained_through": trained_through,
            **trained_at(0),
        }
        lake.append(MODEL_RUNS, [{**row, "model_version": f"m {run_id}"}], replacing={"run_id": run_id})
    return lake


def test_the_newest_model_promoted_by_the_day_serves_it(registry: Lake) -> None:
    serving = {
        after: (serving_model(registry, DAY + timedelta(after)) or {}).get("run_id")
        for after in (-10, -9, -3, -2, 0, 2, 3, 9)
    }

    assert serving == {
        -10: None, -9: "old", -3: "old", -2: "newest", 0: "newest", 2: "newest", 3: "later", 9: "later"
    }  # fmt: skip


def test_a_run_may_be_left_aside(registry: Lake) -> None:
    serving = serving_model(registry, DAY, but_run="newest")

    assert serving is not None
    assert serving["model_version"] == "m old"


@pytest.mark.parametrize(
    ("own_run", "serves"), [("rerun 1", "rerun 1"), ("rerun 2", "rerun 2"), ("other", "rerun 1")]
)
def test_a_day_that_was_run_again_is_served_by_the_model_of_the_run_itself(
    registry: Lake, own_run: str, serves: str
) -> None:
    for minute, run_id in enumerate(("rerun 2", "rerun 1")):
        row = {
            "ds": DAY,
            "run_id": run_id,
            "status": "promoted",
            "trained_through": DAY,
            **trained_at(minute),
        }
        registry.append(MODEL_RUNS, [row], replacing={"run_id": run_id})

    promoted = promoted_models(registry, DAY, own_run=own_run)

    assert promoted[0]["run_id"] == serves
    assert [model["run_id"] for model in promoted[2:]] == ["newest", "old"]


def test_no_model_serves_an_empty_registry(lake: Lake) -> None:
    assert serving_model(lake, DAY) is None


def test_the_model_of_a_run(registry: Lake) -> None:
    assert model_of_run(registry, "unjudged", DAY)["model_version"] == "m unjudged"


@pytest.mark.parametrize(("run_id", "day"), [("other", DAY), ("unjudged", DAY + timedelta(1))])
def test_a_run_has_no_model_of_another_run_or_day(registry: Lake, run_id: str, day: date) -> None:
    with pytest.raises(ValueError, match=f"model_runs has no row of run {run_id} on {day}: run the stage"):
        model_of_run(registry, run_id, day)


def test_what_is_carried_on_was_promoted_from_scratch_with_this_configuration(lake: Lake) -> None:
    rows = [  # days before DAY, status, digest, warm_started_from
        (7, "promoted", "a", None), (5, "promoted", "a", None), (4, "rejected", "a", None),
        (3, "promoted", "b", None), (2, "promoted", "a", "m 5"), (0, "promoted", "a", None),
    ]  # fmt: skip
    for before, status, digest, earlier in rows:
        row = {"ds": DAY - timedelta(before), "run_id": f"r{before}", "status": status, **trained_at(0)}
        row |= {"config_digest": digest, "warm_started_from": earlier}
        lake.append(MODEL_RUNS, [row], replacing={"run_id": f"r{before}"})

    def carried(day: date, max_age_days: int) -> str | None:
        model = model_to_carry_on(lake, day, max_age_days, "a")
        return str(model["run_id"]) if model else None

    assert carried(DAY, 6) == "r5"
    assert carried(DAY, 4) is None
    assert carried(DAY - timedelta(5), 6) == "r7"
    assert carried(DAY + timedelta(1), 6) == "r0"
