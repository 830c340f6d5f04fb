import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.compare.combinations import Combination, Tuning
from jobs.compare.judge_run import INFLUENCE, RESULT, RunResult
from jobs.compare.train_runs import PlannedRun
from jobs.compare.transfer import compare_runs
from mtl_model.config import TrainSpec
from mtl_model.evaluation.user_influence import NUM_GROUPS

MakeRun = Callable[..., PlannedRun]
NOISE = np.random.default_rng(0).normal(0, 1e-4, NUM_GROUPS)  # a standard error of 0.0064
NOISE -= NOISE.mean()


@pytest.fixture
def make_run(tmp_path: Path, base_spec: TrainSpec) -> MakeRun:
    """A finished run with given values per task, and what users add to them."""

    def make(
        combination: Combination,
        values: dict[str, float],
        noise: Any = NOISE,
        metric: str = "auc",
        parameters: int = 1000,
        speed: float = 500.0,
        log_loss: float | None = None,
    ) -> PlannedRun:
        folder = tmp_path / combination.name
        folder.mkdir()
        influence = dict.fromkeys(values, noise)
        pq.write_table(pa.table(influence), folder / INFLUENCE)
        sizes = {} if log_loss is None else {"log_loss": log_loss}
        metrics, probabilities = dict.fromkeys(values, metric), dict.fromkeys(values, sizes)
        result = RunResult(metrics, values, probabilities, parameters, speed, [], {})
        (folder / RESULT).write_text(json.dumps(asdict(result)))
        return PlannedRun(combination, folder, base_spec)

    return make


UNTUNED = Tuning()


def twin(task: str, seed: int = 1, tuning: Tuning = UNTUNED) -> Combination:
    return Combination("single_task", "fixed", seed, twin_of=task, tuning=tuning)


def joint(seed: int = 1) -> Combination:
    return Combination("mmoe", "fixed", seed)


def test_a_gain_is_relative_and_the_average_is_over_tasks(make_run: MakeRun) -> None:
    runs = [
        make_run(twin("click"), {"click": 0.5}),
        make_run(twin("buy"), {"buy": 0.8}),
        make_run(joint(), {"click": 0.6, "buy": 0.76}),
    ]

    click, buy, average = compare_runs(runs)

    assert (click["gain"], buy["gain"]) == pytest.approx((0.2, -0.05))
    assert average["gain"] == pytest.approx((0.2 - 0.05) / 2)
    assert (click["parameters"], click["rows_per_second"]) == (1000, 500.0)


def test_a_gini_near_0_is_no_base_of_percents(make_run: MakeRun) -> None:
    gini = {"metric": "normalised_gini"}
    runs = [
        make_run(twin("spend"), {"spend": 0.005}, **gini),
        make_run(joint(), {"spend": 0.02}, **gini),
    ]

    spend = compare_runs(runs)[0]

    as_auc = [(1 + value) / 2 for value in (0.005, 0.02)]
    assert spend["gain"] == pytest.approx(as_auc[1] / as_auc[0] - 1)
    assert spend["gain"] < spend["gain_high"] < 0.06


def test_twins_cost_what_all_of_them_cost_one_after_another(make_run: MakeRun) -> None:
    wide = Tuning(width=2)
    runs = [
        make_run(twin("click"), {"click": 0.5}, parameters=10, speed=100.0),
        make_run(twin("click", tuning=wide), {"click": 0.6}, parameters=20, speed=50.0),
        make_run(twin("coupon"), {}, parameters=5, speed=100.0),
        make_run(joint(), {"click": 0.6}, parameters=12, speed=80.0),
    ]

    click = compare_runs(runs)[0]

    assert click["twin_tuning"] == wide.name
    assert (click["parameters"], click["twin_parameters"]) == (12, 25)
    assert click["twin_rows_per_second"] == pytest.approx(1 / (1 / 50 + 1 / 100))


def test_probabilities_are_means_over_the_seeds_and_none_of_the_average(make_run: MakeRun) -> None:
    runs = [
        *(make_run(twin("click", seed), {"click": 0.5}, log_loss=0.4) for seed in (1, 2)),
        *(make_run(joint(seed), {"click": 0.6}, log_loss=seed / 10) for seed in (1, 2)),
    ]

    click, average = compare_runs(runs)

    assert (click["log_loss"], click["twin_log_loss"]) == pytest.approx((0.15, 0.4))
    assert click["calibration"] is click["twin_calibration"] is average["log_loss"] is None


@pytest.mark.parametrize(("metric", "best"), [("auc", "wide"), ("log_loss", "slow")])
def test_the_best_of_the_tuned_twins_counts(make_run: MakeRun, metric: str, best: str) -> None:
    tunings = {"plain": UNTUNED, "slow": Tuning(learning_rate=0.5), "wide": Tuning(width=2)}
    means = {"plain": 0.5, "slow": 0.3, "wide": 0.7}
    runs = [
        make_run(twin("click", seed, tuning), {"click": means[name] + shift}, metric=metric)
        for name, tuning in tunings.items()
        for seed, shift in ((1, -0.1), (2, 0.1))
    ]
    runs.append(make_run(joint(), {"click": 0.6}, metric=metric))

    click = compare_runs(runs)[0]

    assert (click["twin_tuning"], click["twin"]) == (tunings[best].name, pytest.approx(means[best]))


@pytest.mark.parametrize(
    ("metric", "value", "verdict"),
    [
        pytest.param("auc", 0.7, "positive transfer", id="higher AUC"),
        pytest.param("auc", 0.5, "negative transfer", id="lower AUC"),
        pytest.param("log_loss", 0.7, "negative transfer", id="higher loss"),
        pytest.param("root_mean_squared_error", 0.5, "positive transfer", id="lower error"),
        pytest.param("auc", 0.601, "no clear difference", id="within chance"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side(
    make_run: MakeRun, metric: str, value: float, verdict: str
) -> None:
    own = NOISE[np.random.default_rng(1).permutation(NUM_GROUPS)]
    runs = [
        make_run(twin("click"), {"click": 0.6}, metric=metric),
        make_run(joint(), {"click": value}, noise=own, metric=metric),
    ]

    assert compare_runs(runs)[0]["verdict"] == verdict


def test_what_users_add_to_both_models_does_not_widen_the_interval_of_the_gain(make_run: MakeRun) -> None:
    own = NOISE[np.random.default_rng(1).permutation(NUM_GROUPS)]
    runs = [
        make_run(twin("alike"), {"alike": 0.6}),
        make_run(twin("apart"), {"apart": 0.6}),
        make_run(joint(), {"alike": 0.6}),
        make_run(joint(2), {"apart": 0.6}, noise=own),
    ]

    alike, apart, _ = compare_runs(runs)

    assert alike["gain_high"] - alike["gain_low"] == pytest.approx(0.0, abs=1e-9)
    expected = 2 * 1.96 * np.sqrt(2 * (NOISE**2).sum()) / 0.6  # two independent standard errors
    assert apart["gain_high"] - apart["gain_low"] == pytest.approx(expected, rel=0.1)
    assert apart["ci_high"] - apart["ci_low"] == pytest.approx(2 * 1.96 * np.sqrt((NOISE**2).sum()), rel=0.1)


def test_seeds_that_differ_widen_the_interval(make_run: MakeRun) -> None:
    values = {1: 0.58, 2: 0.62, 3: 0.60}
    nothing = np.zeros(NUM_GROUPS)
    runs = [make_run(twin("click", seed), {"click": 0.5}, noise=nothing) for seed in values]
    runs += [make_run(joint(seed), {"click": value}, noise=nothing) for seed, value in values.items()]

    click = compare_runs(runs)[0]

    assert click["mean"] == pytest.approx(0.6)
    assert click["seeds"] == 3
    assert 0.58 <= click["ci_low"] < 0.59 < 0.61 < click["ci_high"] <= 0.62
    assert click["verdict"] == "positive transfer"


def test_a_task_that_no_run_could_be_judged_on_is_left_out(make_run: MakeRun) -> None:
    runs = [make_run(twin("coupon"), {}), make_run(joint(), {})]

    assert compare_runs(runs) == []
