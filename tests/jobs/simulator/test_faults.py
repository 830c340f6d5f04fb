import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.simulator.config import FaultsConfig, parse_count, parse_faults
from tests.jobs.simulator.small_world import World, simulate, small_config

SHARES = {"duplicates": 0.03, "late": 0.06, "future": 0.02, "broken": 0.05}
FIVE_MINUTES, HOUR, DAY = pd.Timedelta(minutes=5), pd.Timedelta(hours=1), pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def sound() -> World:
    return simulate(small_config())


@pytest.fixture(scope="module")
def faulty() -> World:
    return simulate(small_config(faults=SHARES))


def is_broken(events: pd.DataFrame) -> "pd.Series[bool]":
    has_null = events[["event_id", "event_time", "user_id", "item_id"]].isna().any(axis=1)
    return has_null | (events.price < 0) | (events.event_type == "teleport")


def test_counts_are_those_of_the_rows(faulty: World) -> None:
    events, counts = faulty.events, faulty.counts
    named = events[events.event_id.notna()]
    ahead = events.event_time - events.ingested_at
    copies = named[named.duplicated("event_id", keep=False)].groupby("event_id").ingested_at

    found = {
        "null_event_id": events.event_id.isna().sum(),
        "null_user_id": events.user_id.isna().sum(),
        "null_item_id": events.item_id.isna().sum(),
        "bad_event_time": events.event_time.isna().sum(),
        "negative_price": (events.price < 0).sum(),
        "unknown_event_type": (events.event_type == "teleport").sum(),
        "future_minutes": ((ahead >= FIVE_MINUTES) & (ahead < DAY)).sum(),
        "future_days": (ahead >= DAY).sum(),
        "duplicate_same_day": (copies.max() == copies.min()).sum(),
        "duplicate_next_day": (copies.max() - copies.min() == DAY).sum(),
    }

    assert {name: int(count) for name, count in found.items()} == {
        name: counts["rows", name] for name in found
    }
    assert sum(count for (measure, _), count in counts.items() if measure == "rows") == len(events)


@pytest.mark.parametrize(
    ("share", "kinds"),
    [
        ("duplicates", ("duplicate_same_day", "duplicate_next_day")),
        ("late", ("late_hours", "late_days")),
        ("future", ("future_minutes", "future_days")),
        ("broken", ("null_event_id", "null_user_id", "null_item_id", "bad_event_time", "negative_price",
                    "unknown_event_type")),
    ],
    ids=list(SHARES),
)  # fmt: skip
def test_faults_have_their_share(sound: World, faulty: World, share: str, kinds: tuple[str, ...]) -> None:
    counts = [faulty.counts["rows", kind] for kind in kinds]
    expected = SHARES[share] * len(sound.events)

    assert abs(sum(counts) - expected) < 4 * np.sqrt(expected)
    assert all(abs(count - expected / len(kinds)) < 4 * np.sqrt(expected) for count in counts)


def test_without_its_faults_the_log_is_the_sound_one(sound: World, faulty: World) -> None:
    events = faulty.events
    ahead = events.event_time - events.ingested_at

    cleaned = events[~is_broken(events) & ~(ahead > pd.Timedelta(0))].drop_duplicates("event_id")

    what_happened = [name for name in events.columns if name not in {"ingested_at", "landed_on"}]
    assert (
        cleaned.sort_values("event_id")[what_happened]
        .reset_index(drop=True)
        .equals(sound.events.sort_values("event_id")[what_happened].reset_index(drop=True))
    )


def test_late_rows_are_the_sound_rows_that_land_later(sound: World, faulty: World) -> None:
    rows = faulty.events[~is_broken(faulty.events)].drop_duplicates("event_id").set_index("event_id")
    usual = sound.events.set_index("event_id")

    lateness = (rows.ingested_at.reindex(usual.index) - usual.ingested_at).loc[lambda delay: delay > HOUR / 2]

    assert (lateness < 12 * HOUR).sum() == faulty.counts["rows", "late_hours"]
    assert (lateness >= DAY).sum() == faulty.counts["rows", "late_days"]
    assert (lateness.min() >= HOUR, lateness.max() < 5 * DAY) == (True, True)


def test_rows_land_on_the_day_of_their_ingestion(faulty: World) -> None:
    assert (faulty.events.landed_on == faulty.events.ingested_at.dt.date).all()


def test_sound_rows_are_ingested_after_they_happened(sound: World) -> None:
    delay = sound.events.ingested_at - sound.events.event_time

    assert delay.min() > pd.Timedelta(0)
    assert delay.max() < HOUR


@settings(max_examples=5, deadline=None)
@given(share=st.sampled_from([0.1, 0.3]), seed=st.integers(0, 1000))
def test_the_heavy_user_makes_the_share_of_the_events(share: float, seed: int) -> None:
    world = simulate(small_config(users=2_000, events=200_000, heavy_user_share=share, seed=seed))

    own = (world.events.user_id == "u0").sum()

    assert own == world.counts["events_of_user", "u0"]
    assert own == pytest.approx(share * world.config.events, rel=0.1)


def test_the_hot_item_is_in_the_share_of_the_sessions() -> None:
    world = simulate(small_config(hot_item_share=0.5, users=2_000))
    plain = simulate(small_config(users=2_000))

    by_chance = plain.counts["sessions_with_item", "i0"] / plain.counts["sessions", "all"]
    share = world.counts["sessions_with_item", "i0"] / world.counts["sessions", "all"]

    assert share == pytest.approx(0.5 + 0.5 * by_chance, abs=0.05)


def test_faults_are_read_from_their_names() -> None:
    parsed = FaultsConfig.model_validate(parse_faults("late=0.02,new-column=2024-01-05"))

    assert (parsed.late, str(parsed.new_column)) == (0.02, "2024-01-05")
    with pytest.raises(ValueError, match="the names are duplicates, late"):
        parse_faults("lte=0.02")
    with pytest.raises(ValidationError, match="add up to"):
        FaultsConfig(late=0.6, broken=0.5)


@pytest.mark.parametrize(
    ("text", "number"),
    [("2000", 2000), ("2_000", 2000), ("300k", 300_000), ("1.5m", 1_500_000), ("1B", 10**9)],
)
def test_counts_are_read_with_their_unit(text: str, number: int) -> None:
    assert parse_count(text) == number


@pytest.mark.parametrize("text", ["", "many", "1e", "k"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        parse_count(text)
