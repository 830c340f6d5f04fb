from typing import Any

import pytest

from benchmarks.scaling import figures, fit_exponent

SHORT = {"tasks": 8, "median_ms": 10, "slowest_ms": 900}
ALONE = {"tasks": 1, "median_ms": 9_000, "slowest_ms": 9_000}
EVEN = {"tasks": 8, "median_ms": 2_000, "slowest_ms": 2_500}
SKEWED = {"tasks": 4, "median_ms": 1_000, "slowest_ms": 2_400}


def measured(
    events: int, seconds: float, *spark_stages: dict[str, Any], peak_mib: float = 0
) -> dict[str, Any]:
    ingest = {"seconds": seconds, "processor_seconds": seconds**2, "spark_stages": list(spark_stages)}
    return {"events": events, "peak_mib": peak_mib, "stages": {"ingest": ingest}}


@pytest.mark.parametrize("exponent", [1.0, 1.5])
def test_the_exponent_is_the_power_that_the_seconds_grow_with(exponent: float) -> None:
    events = [2_000_000, 6_000_000, 20_000_000]

    assert fit_exponent(events, [3e-7 * count**exponent for count in events]) == pytest.approx(exponent)


def test_figures_are_of_what_has_been_measured() -> None:
    runs = {
        "60M": measured(60_000_000, 60, peak_mib=3_072),
        "2M": measured(2_000_000, 2),
        "skew user": measured(6_000_000, 99, EVEN, SKEWED),
    }

    assert [(figure["name"], figure["cost_ratio"]) for figure in figures(runs)] == [
        ("ingest exponent", 1.0),
        ("ingest exponent of processor time", 2.0),
        ("ingest 60M memory", 0.5),
        ("skew user slowest/median ingest", 2.4),
    ]


def test_tasks_that_are_short_or_alone_tell_nothing_of_skew() -> None:
    assert figures({"skew item": measured(6_000_000, 9, SHORT, ALONE)}) == []
