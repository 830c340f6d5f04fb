"""Results of the runs -> a table: what each combination gains over single-task twins, with its uncertainty.

The gain of a task is (M - M_twin) / M_twin, its sign turned for errors; that of a combination is the mean
over tasks (Maninis et al., CVPR 2019, doi.org/10.1109/CVPR.2019.00195). A normalised Gini, which is 0 without
skill, is put on the scale of AUC first, M = (1 + Gini) / 2: percent of a twin near 0 would mean nothing, and
swamp the average. Intervals of 95% come from a paired
bootstrap: each replicate weighs users, the same way in all runs, and draws seeds with replacement.

Shapes: S = seeds, G = groups of users, N = replicates.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.backtest.bootstrap import REPLICATES, poisson_weights
from jobs.compare.combinations import TWIN
from jobs.compare.judge_run import RunResult, read_influence, read_result
from jobs.compare.train_runs import PlannedRun
from mtl_model.evaluation.user_influence import LESS_IS_BETTER, NUM_GROUPS

Floats = npt.NDArray[np.float64]

AVERAGE = "average"
_OF_TASKS = (
    "mean", "ci_low", "ci_high", "twin", "twin_tuning", "log_loss", "twin_log_loss", "calibration",
    "twin_calibration",
)  # fmt: skip
_CHUNK = 2048  # groups of users at a time


class Sample(NamedTuple):
    """A task's metric under each seed (S,), and in each replicate (N,); `runs` are those of the seeds."""

    metric: str
    values: Floats
    replicates: Floats
    runs: Sequence[RunResult]

    def mean_of(self, task: str, name: str) -> float | None:
        """Of the log loss or calibration, over the seeds that have it."""
        values = [run.probabilities[task][name] for run in self.runs if name in run.probabilities[task]]
        return float(np.mean(values)) if values else None


def compare_runs(runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """One row per combination and task, then one of the average over the tasks."""
    results = {run.combination.name: read_result(run.folder) for run in runs}
    samples = _sample_all(runs, results)
    twins = _best_twins(samples)
    cost_of_twins = _cost_of_twins(runs, results, {task: tuning for task, (tuning, _) in twins.items()})
    rows: list[dict[str, Any]] = []
    for sharing, balancing in dict.fromkeys(
        (run.combination.sharing, run.combination.balancing) for run in runs if not run.combination.twin_of
    ):
        own = {task: sample for (kind, task), sample in samples.items() if kind == (sharing, balancing)}
        of_runs = [
            results[run.combination.name]
            for run in runs
            if (run.combination.sharing, run.combination.balancing) == (sharing, balancing)
            and not run.combination.twin_of
        ]
        cost = {"parameters": of_runs[0].parameters, "rows_per_second": _median_speed(of_runs)}
        cost |= cost_of_twins
        head = {"sharing": sharing, "balancing": balancing}
        rows += [head | row | cost for row in _rows_of(own, twins)]
    return rows


def _best_twins(samples: Mapping[tuple[tuple[str, str], str], Sample]) -> dict[str, tuple[str, Sample]]:
    """Of each task the tuning of the twins that is best on the judging rows, which favours the twins."""
    best: dict[str, tuple[str, Sample]] = {}
    for ((kind, tuning), task), sample in samples.items():
        if kind == TWIN and (task not in best or _gain(sample, best[task][1])[0] > 0):
            best[task] = tuning, sample
    return best


def _cost_of_twins(
    runs: Sequence[PlannedRun], results: Mapping[str, RunResult], tunings: Mapping[str, str]
) -> dict[str, Any]:
    """Of the twins of all tasks together: their parameters, and rows per second if one trains after another.

    A task that no row judges counts with its first tuning.
    """
    by_task: dict[str, list[RunResult]] = {}
    first: dict[str, str] = {}
    for run in runs:
        task, tuning = run.combination.twin_of, run.combination.tuning.name
        if task and tuning == tunings.get(task, first.setdefault(task, tuning)):
            by_task.setdefault(task, []).append(results[run.combination.name])
    seconds_per_row = sum(1 / _median_speed(of_task) for of_task in by_task.values())
    return {
        "twin_parameters": sum(of_task[0].parameters for of_task in by_task.values()),
        "twin_rows_per_second": 1 / seconds_per_row if by_task else None,
    }


def _median_speed(results: Sequence[RunResult]) -> float:
    return float(np.median([result.rows_per_second for result in results]))


def _rows_of(own: Mapping[str, Sample], twins: Mapping[str, tuple[str, Sample]]) -> list[dict[str, Any]]:
    gains: list[tuple[float, Floats]] = []
    rows = []
    for task, sample in own.items():
        tuning, twin = twins[task]
        gain = _gain(sample, twin)
        gains.append(gain)
        low, high = _interval(sample.replicates)
        measured = {
            "task": task,
            "metric": sample.metric,
            "seeds": len(sample.values),
            "mean": float(sample.values.mean()),
            "ci_low": low,
            "ci_high": high,
            "twin": float(twin.values.mean()),
            "twin_tuning": tuning,
        }
        for name in ("log_loss", "calibration"):
            measured |= {name: sample.mean_of(task, name), f"twin_{name}": twin.mean_of(task, name)}
        rows.append(measured | _describe_gain(*gain))
    if gains:
        average = np.mean([gain for gain, _ in gains]), np.mean([draws for _, draws in gains], axis=0)
        seeds = len(next(iter(own.values())).values)
        empty = dict.fromkeys(_OF_TASKS)
        rows.append(
            {"task": AVERAGE, "metric": "gain", "seeds": seeds, **empty}
            | _describe_gain(float(average[0]), average[1])
        )
    return rows


def _gain(own: Sample, twin: Sample) -> tuple[float, Floats]:
    """The relative gain, and in each replicate (N,)."""
    sign = -1.0 if own.metric in LESS_IS_BETTER else 1.0
    skill_free = 1.0 if own.metric == "normalised_gini" else 0.0  # (1 + Gini) / 2 is on the scale of AUC
    gain = sign * (own.values.mean() - twin.values.mean()) / (skill_free + twin.values.mean())
    draws = sign * (own.replicates - twin.replicates) / (skill_free + twin.replicates)
    return float(gain), draws


def _describe_gain(gain: float, draws: Floats) -> dict[str, Any]:
    low, high = _interval(draws)
    verdict = "no clear difference"
    if low > 0:
        verdict = "positive transfer"
    if high < 0:
        verdict = "negative transfer"
    return {"gain": gain, "gain_low": low, "gain_high": high, "verdict": verdict}


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _sample_all(
    runs: Sequence[PlannedRun], results: Mapping[str, RunResult]
) -> dict[tuple[tuple[str, str], str], Sample]:
    """Samples by (kind, task); the kind is (sharing, balancing), of twins (single_task, tuning)."""
    by_kind: dict[tuple[tuple[str, str], str], list[tuple[PlannedRun, Floats]]] = {}
    for run in runs:
        made = run.combination
        for task, influence in read_influence(run.folder).items():
            kind = (made.sharing, made.tuning.name if made.twin_of else made.balancing)
            by_kind.setdefault((kind, task), []).append((run, influence))
    influences = [influence for members in by_kind.values() for _, influence in members]
    all_moved = iter(_resample_users(np.stack(influences)) if influences else ())
    samples = {}
    for number, (key, members) in enumerate(by_kind.items()):
        of_runs = [results[run.combination.name] for run, _ in members]
        values = np.array([result.values[key[1]] for result in of_runs])
        moved: Floats = np.stack([next(all_moved) for _ in members])
        drawn = np.random.default_rng(number).integers(0, len(values), (REPLICATES, len(values)))
        replicates = np.take_along_axis(values[:, None] + moved, drawn.T, axis=0).mean(axis=0)
        samples[key] = Sample(of_runs[0].metrics[key[1]], values, replicates, of_runs)
    return samples


def _resample_users(influence: Floats) -> Floats:
    """Maps influences (runs, G) to what each replicate's weights of users change the metric by: (runs, N)."""
    moved = np.zeros((len(influence), REPLICATES))
    for start in range(0, NUM_GROUPS, _CHUNK):
        groups = np.arange(start, start + _CHUNK)
        moved += influence[:, groups] @ (poisson_weights(groups, REPLICATES) - 1)
    return moved
