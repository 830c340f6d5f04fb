"""Runs of one scenario at the same time, stage by stage, and what a stage of one keeps from the others.

A repair is the bulk stages of its date; a backfill is a repair of its last date and then the nights.
"""

import logging
import multiprocessing
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from threading import Event

import pytest

from jobs.bulk_stages import build_forgotten, build_in_turn, hold_bulk_stages
from jobs.config import load_scenario
from jobs.features.anchors import training_anchor_days
from jobs.lake.days import days_between
from jobs.stage import Build, Run, run_stage
from tests.jobs import tiny_stages
from tests.jobs.tiny_stages import (
    FIRST_DAY,
    STAGES,
    TABLES,
    add_one,
    add_ones,
    expect,
    mark,
    read_numbers,
    telling_who_waits,
    tiny_run,
    work_for_ever,
)

Step = tuple[Run, str]
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def tiny(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the tiny stages stand in for the real ones."""
    monkeypatch.setattr("jobs.stages.load_stage", load_tiny)
    return home


def load_tiny(stage: str) -> Build:
    build: Build = getattr(tiny_stages, f"build_{stage}")
    return build


def work(steps: Sequence[Step]) -> None:
    for run, stage in steps:
        build_in_turn(stage, load_tiny(stage), run, run.lake(stage))


def night(run: Run, *left_out: str) -> list[Step]:
    return [(run, stage) for stage in STAGES if stage not in left_out]


def orders(one: int, other: int) -> list[list[int]]:
    """All orders of the steps of two processes: which of them takes its next step."""
    places = range(one + other)
    return [[int(place not in chosen) for place in places] for chosen in combinations(places, one)]


def work_in(order: Sequence[int], *processes: Sequence[Step]) -> None:
    steps = [iter(process) for process in processes]
    work([next(steps[process]) for process in order])


def check_tables(last: Run, *left_out: str) -> None:
    """All that the last night reads is there, and made of all that was learned by then."""
    first, anchor = training_anchor_days(last)
    for _, stage in night(last, *left_out):
        found = read_numbers(stage, last.lake(), (first, anchor))
        assert found == {day: expect(stage, day, last.date) for day in days_between(first, anchor)}, stage


def test_two_nights_in_any_order_of_their_first_stages_lose_no_late_row(tiny: Path) -> None:
    """The older one has ingested its day: else the newer one finds nothing late."""
    left_out = ("candidates", "examples")
    for number, order in enumerate(orders(2, 3)):
        older, newer = tiny_run(tiny, 2 * number, "older"), tiny_run(tiny, 2 * number + 1, "newer")

        work_in([0, *order], night(older, *left_out), night(newer, *left_out))

        check_tables(newer, *left_out)


@pytest.mark.parametrize(
    "num_orders", [pytest.param(8, id="a few"), pytest.param(60, id="many", marks=pytest.mark.acceptance)]
)
def test_two_whole_nights_lose_no_late_row(tiny: Path, num_orders: int) -> None:
    for number, order in enumerate(random.Random(7).sample(orders(5, 5), num_orders)):
        older, newer = tiny_run(tiny, 2 * number, "older"), tiny_run(tiny, 2 * number + 1, "newer")

        work_in(order, night(older), night(newer))

        check_tables(newer)


@pytest.mark.parametrize(
    "num_orders", [pytest.param(3, id="a few"), pytest.param(20, id="many", marks=pytest.mark.acceptance)]
)
def test_a_backfill_beside_a_newer_night_loses_no_late_row(tiny: Path, num_orders: int) -> None:
    chance = random.Random(5)
    for number in range(num_orders):
        first, last, newer = (tiny_run(tiny, 2 * number + day, f"{day}") for day in (1, 2, 3))
        work(night(tiny_run(tiny, 2 * number, "before")))
        order = [*[0] * 15, *[1] * 5]
        chance.shuffle(order)

        work_in(order, [*night(last), *night(first), *night(last)], night(newer))

        check_tables(newer)


def test_a_night_that_died_after_it_had_marked_late_days_marks_them_again(tiny: Path) -> None:
    """Even where that was the newest loaded day, which then looks as if it was never loaded."""
    older, newer = tiny_run(tiny, 0, "older"), tiny_run(tiny, 1, "newer")
    work(night(older))

    mark(newer, newer.lake("ingest"))
    work(night(older)[1:])
    work(night(newer))

    check_tables(newer)


def test_where_nothing_was_forgotten_nothing_is_built_first(tiny: Path) -> None:
    run = tiny_run(tiny, 3, "run")
    work(night(run))
    before = [run.lake().snapshot_id(table) for table in TABLES.values()]

    assert build_forgotten("examples", run) == {}

    assert [run.lake().snapshot_id(table) for table in TABLES.values()] == before


def test_stages_of_two_processes_read_and_commit_one_after_the_other(tiny: Path) -> None:
    start = SPAWN.Barrier(2)
    other = SPAWN.Process(target=add_ones, args=(tiny, 8, start))
    other.start()
    add_ones(tiny, 8, start)
    other.join()

    assert other.exitcode == 0
    assert read_numbers("tiles", tiny_run(tiny, 0, "reader").lake(), (FIRST_DAY, FIRST_DAY)) == {
        FIRST_DAY: 16
    }


def test_a_stage_that_waits_names_the_holder_and_goes_on_when_that_is_killed(
    tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    has_begun, waits = SPAWN.Event(), Event()
    holder = SPAWN.Process(target=work_for_ever, args=(tiny, has_begun))
    holder.start()
    has_begun.wait()

    with telling_who_waits(waits), ThreadPoolExecutor() as threads:
        waiting = threads.submit(run_stage, "tiles", add_one, tiny_run(tiny, 1, "the-waiter"))
        waits.wait()
        assert not waiting.done()
        holder.kill()
        waiting.result()

    (said,) = [record.message for record in caplog.records if record.name == "jobs.locks"]
    assert "the-waiter" in said
    assert '"run_id": "the-holder", "stage": "ingest"' in said


def test_other_stages_and_other_scenarios_do_not_wait(tiny: Path) -> None:
    run, other = tiny_run(tiny, 0, "run"), tiny_run(tiny, 0, "other")

    with hold_bulk_stages(run, "ingest"):
        build_in_turn("train", lambda run, lake: {}, other, other.lake())
        with hold_bulk_stages(replace(run, scenario=load_scenario("shop")), "ingest"):
            pass
