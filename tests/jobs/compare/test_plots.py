from typing import Any

import pytest

from jobs.compare.plots import load_heat, pareto_scatters


def rows(tasks: str) -> list[dict[str, Any]]:
    of_tasks = {"sharing": "mmoe", "balancing": "fixed"}
    return [
        of_tasks | {"task": task, "gain": 0.01 * number} for number, task in enumerate([*tasks, "average"])
    ]


@pytest.mark.parametrize(
    ("tasks", "pairs"),
    [
        pytest.param("a", [], id="one task"),
        pytest.param("abc", ["ab", "ac", "bc"], id="all pairs"),
        pytest.param("abcde", ["ab", "ac", "ad", "ae"], id="many tasks: the first against each"),
    ],
)
def test_tasks_are_drawn_in_pairs(tasks: str, pairs: list[str]) -> None:
    scatters = pareto_scatters(rows(tasks))

    assert [plot.x_label + plot.y_label for plot in scatters] == pairs


def test_loads_stand_under_their_expert_and_shared_experts_first() -> None:
    heat = load_heat("ple", {"click": {"click 1": 0.25, "shared 1": 0.75}, "buy": {"buy 1": 1.0}})

    assert heat.columns == ["shared 1", "click 1", "buy 1"]
    texts = {gate: [text for text, _ in cells] for gate, cells in heat.rows}
    assert texts == {"click": ["75 %", "25 %", ""], "buy": ["", "", "100 %"]}
