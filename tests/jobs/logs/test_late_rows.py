"""Nights over one log in which everything goes wrong at once, against an oracle in plain Python."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.features.tables import ITEM_DAYS
from jobs.lake.catalog import open_catalog
from jobs.lake.days import days_between
from jobs.lake.lake import Lake
from jobs.logs.ingest_logs import ingest_logs
from jobs.logs.tables import EVENTS, INGEST_COUNTS, QUARANTINE, SOURCE_COLUMNS
from jobs.stage import make_run
from tests.jobs.logs.mapped_log import mapping, write_csv
from tests.small_log import write_scenario

ZONE = ZoneInfo("Asia/Shanghai")
FIRST, LAST = date(2017, 11, 28), date(2017, 12, 3)
HORIZON = 2
TYPES = {"buy": "purchase", "fav": "favorite", "cart": "cart"}
LANDED = {"format": "csv", "path": "landed={date:%Y/%m/%d}"}
Ingest = Callable[[date], dict[str, int]]
Books = dict[date, Counter[str]]


@dataclass(frozen=True)
class Line:
    """A line of the log as it is written."""

    ts: str
    user: str
    item: str
    action: str
    price: str
    quantity: str


Landed = tuple[date, Line]


@st.composite
def landed_lines(draw: st.DrawFn) -> Landed:
    """A line and its landing day; most are good, and each kind of fault is common."""
    landed = FIRST + timedelta(days=draw(st.integers(0, (LAST - FIRST).days)))
    lag = draw(st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 3, 100, -1, -2, -400]))
    second = draw(st.sampled_from([0, 1, 43_200, 86_399]))
    stamp = int(datetime.combine(landed - timedelta(days=lag), time.min, ZONE).timestamp()) + second
    line = Line(
        ts=draw(st.sampled_from([str(stamp)] * 12 + ["", "soon", f"{stamp}000"])),
        user=draw(st.sampled_from(["u1", "007", "7", "ü 😀", "NaN", "null", "'; DROP TABLE", ""])),
        item=draw(st.sampled_from(["i1", "i2", "../../etc/passwd", ""])),
        action=draw(st.sampled_from(["buy", "buy", "fav", "cart", "view", ""])),
        price=draw(st.sampled_from(["0.29", "1.005", "2574.07", "", "", "-0.01", "dear"])),
        quantity=draw(st.sampled_from(["1", "2.0", "0", "1", "2", "", "-1", "1.5"])),
    )
    return landed, line


@st.composite
def logs(draw: st.DrawFn) -> list[Landed]:
    """A log with a line on every day, in which some lines are delivered again, on the same or another day."""
    parts = st.lists(st.lists(landed_lines(), min_size=15, max_size=25), min_size=1, max_size=20)
    lines = [line for part in draw(parts) for line in part]
    copies = st.tuples(st.sampled_from(lines), st.integers(0, 5))
    again = [draw(st.lists(copies, max_size=10)) for _ in range(4)]
    days = [(day, Line("", "", "", "", "", "")) for day in days_between(FIRST, LAST)]
    return days + lines + [(FIRST + timedelta(days), line) for part in again for (_, line), days in part]


def event_of(line: Line) -> tuple[Any, ...] | None:
    """The event that a line says, or None if it breaks the contract (whatever its time)."""
    cents = {"0.29": 29, "1.005": 101, "2574.07": 257_407, "": None}
    units = {"1": 1, "2": 2, "2.0": 2, "0": 0, "": None}
    if line.user in {"", "NaN", "null"} or not line.item or line.action not in TYPES:
        return None
    if line.price not in cents or line.quantity not in units:
        return None
    if line.action == "buy" and units[line.quantity] is None:
        return None
    return line.ts, line.user, line.item, TYPES[line.action], cents[line.price], units[line.quantity]


def day_of(line: Line) -> date | None:
    is_stamp = line.ts.isdigit() and int(line.ts) < 253_402_300_800
    return datetime.fromtimestamp(int(line.ts), ZONE).date() if is_stamp else None


def expect(log: Sequence[Landed], known_through: date) -> tuple[Books, Counter[Any]]:
    """The books and the kept events of all days up to `known_through`, from what had landed by then."""
    books: Books = {}
    kept: set[tuple[date, Line]] = set()
    for landed, line in log:
        if landed > known_through:
            continue
        day = day_of(line)
        if day and not FIRST <= day <= min(landed, LAST) + timedelta(days=1):
            day = None
        is_late = day is not None and (landed - day).days > HORIZON
        counted_on = landed if day is None or is_late else day
        if counted_on > known_through:
            continue
        fate = "duplicate" if (counted_on, line) in kept else "kept"
        if is_late:
            fate = "late_held"
        elif day is None or event_of(line) is None:
            fate = "quarantined"
        else:
            kept.add((counted_on, line))
        books.setdefault(counted_on, Counter()).update([fate, "read"])
    return books, Counter((day, *(event_of(line) or ())) for day, line in kept)


def books_of(lake: Lake) -> Books:
    fates = ("read", "kept", "duplicate", "late_held", "quarantined")
    rows = lake.read_arrow(INGEST_COUNTS).to_pylist()
    return {row["ds"]: Counter({fate: row[fate] for fate in fates if row[fate]}) for row in rows}


def events_of(lake: Lake) -> Counter[Any]:
    rows = lake.read_arrow(EVENTS).to_pylist()
    names = ("user_id", "item_id", "event_type", "price", "quantity")
    return Counter(
        (row["ds"], str(int(row["event_time"].timestamp())), *(row[name] for name in names)) for row in rows
    )


def write_landed(folder: Path, log: Sequence[Landed]) -> None:
    for day in days_between(FIRST, LAST):
        rows = [asdict(line) for landed, line in log if landed == day]
        write_csv(folder / LANDED["path"].format(date=day) / "part.csv", rows)


@pytest.fixture
def night(spark: SparkSession, home: Path, tmp_path: Path) -> Callable[..., tuple[Lake, Ingest]]:
    """An empty lake and the ingestion of a night of the log in `tmp_path / log`, mapped with changes."""

    def prepare(name: str = "home", **changes: Any) -> tuple[Lake, Ingest]:
        of_log = {
            "source": "mapped", "first_day": FIRST, "last_day": LAST, "time_zone": ZONE.key,
            "late_horizon_days": HORIZON, "events": [mapping(**{"files": LANDED, **changes})],
        }  # fmt: skip
        scenario = write_scenario(tmp_path / "small.yaml", tmp_path / "log", logs=of_log)
        lake = Lake(open_catalog(tmp_path / name, {}), "small", tmp_path / name, num_partitions=2)
        return lake, lambda day: dict(ingest_logs(make_run(str(scenario), day), lake))

    return prepare


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(log=logs())
def test_every_line_is_accounted_for_on_any_night_in_any_order(
    night: Callable[..., tuple[Lake, Ingest]],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    log: list[Landed],
) -> None:
    write_landed(tmp_path / "log", log)
    lake, ingest = night(tmp_path_factory.mktemp("home").name)
    nights = [FIRST + timedelta(days=offset) for offset in (1, 4, 2)]

    for index, day in enumerate(nights):
        ingest(day)

        books, kept = expect(log, max(nights[: index + 1]))
        assert books_of(lake) == books
        assert events_of(lake) == kept
        for counts in books_of(lake).values():
            parts = ("kept", "duplicate", "late_held", "quarantined")
            assert counts["read"] == sum(counts[part] for part in parts)
    assert lake.read_arrow(QUARANTINE).num_rows == sum(counts["quarantined"] for counts in books.values())


def line(day: date, user: str = "u", hour: int = 12) -> Line:
    stamp = int(datetime.combine(day, time(hour), ZONE).timestamp())
    return Line(str(stamp), user, "i", "buy", "0.29", "1")


DAY = FIRST + timedelta(days=2)
NEXT = DAY + timedelta(days=1)


def test_the_oracle_knows_a_case_worked_out_by_hand() -> None:
    late, too_late = line(DAY - timedelta(days=HORIZON)), line(DAY - timedelta(days=HORIZON), "v")

    books, kept = expect([(DAY, late), (NEXT, too_late), (NEXT, line(DAY)), (NEXT, line(DAY))], NEXT)

    assert books == {
        DAY - timedelta(days=HORIZON): Counter(read=1, kept=1),
        DAY: Counter(read=2, kept=1, duplicate=1),
        NEXT: Counter(read=1, late_held=1),
    }
    assert sum(kept.values()) == 2


def test_late_rows_mark_their_day_and_the_tiles_after_it_dirty(
    night: Callable[..., tuple[Lake, Ingest]], tmp_path: Path
) -> None:
    days = days_between(FIRST, LAST)
    write_landed(
        tmp_path / "log", [*((day, line(day)) for day in days), (NEXT, line(DAY - timedelta(days=1), "v"))]
    )
    lake, ingest = night()
    ingest(DAY)
    lake.commit(ITEM_DAYS, (FIRST, DAY), [])

    counts = ingest(NEXT)

    assert counts["late_days"] == 1
    assert lake.built_days(EVENTS) == [(FIRST, NEXT)]
    assert lake.built_days(ITEM_DAYS) == [(FIRST, DAY - timedelta(days=2))]
    assert [
        row["user_id"] for row in lake.read_arrow(EVENTS, (DAY - timedelta(days=1),) * 2).to_pylist()
    ] == ["u", "v"]
    assert "late_days" not in ingest(NEXT)


def test_rows_of_a_log_without_folders_are_held_until_their_night(
    night: Callable[..., tuple[Lake, Ingest]], tmp_path: Path
) -> None:
    rows = [(line(DAY), DAY), (line(DAY, "v"), NEXT), (line(DAY, "w"), DAY + timedelta(days=HORIZON + 1))]
    write_csv(tmp_path / "log" / "events.csv", [{**asdict(event), "at": learned} for event, learned in rows])
    lake, ingest = night(files={"format": "csv", "path": "events.csv"}, ingested_at="at")

    ingest(DAY)
    early = books_of(lake)
    ingest(NEXT)
    late = books_of(lake)
    ingest(DAY)

    assert early == {DAY: Counter(read=2, kept=1, late_held=1)}
    assert late == {DAY: Counter(read=2, kept=2)}
    assert books_of(lake) == late, "a rerun of an older night forgets nothing"
    learned = {row["user_id"]: row["ingested_at"] for row in lake.read_arrow(EVENTS).to_pylist()}
    assert learned["v"] == datetime.combine(NEXT, time.min, ZONE).astimezone(UTC)


def test_the_copy_that_came_first_is_kept(night: Callable[..., tuple[Lake, Ingest]], tmp_path: Path) -> None:
    first, again = line(DAY, "first"), line(DAY, "again")
    write_landed(tmp_path / "log", [(day, line(day)) for day in days_between(FIRST, LAST)])
    for day, copy in ((DAY, first), (NEXT, again)):
        write_csv(
            tmp_path / "log" / LANDED["path"].format(date=day) / "part.csv", [{**asdict(copy), "id": "1"}]
        )
    for day in {*days_between(FIRST, LAST)} - {DAY, NEXT}:
        write_csv(
            tmp_path / "log" / LANDED["path"].format(date=day) / "part.csv",
            [{**asdict(line(day)), "id": "2"}],
        )
    lake, ingest = night(event_id="id")

    ingest(NEXT)

    assert [row["user_id"] for row in lake.read_arrow(EVENTS, (DAY, DAY)).to_pylist()] == ["first"]
    assert books_of(lake)[DAY] == Counter(read=2, kept=1, duplicate=1)


def test_a_night_remembers_the_columns_and_blocks_what_changed(
    night: Callable[..., tuple[Lake, Ingest]], tmp_path: Path
) -> None:
    write_landed(tmp_path / "log", [(day, line(day)) for day in days_between(FIRST, LAST)])
    lake, ingest = night()
    ingest(FIRST)
    ingest(FIRST)
    folder = tmp_path / "log" / LANDED["path"].format(date=DAY)
    write_csv(
        folder / "part.csv", [{name: value for name, value in asdict(line(DAY)).items() if name != "price"}]
    )

    with pytest.raises(ValueError, match=r"2017/11/30/part.csv: column price.* is missing"):
        ingest(DAY)

    columns = lake.read_arrow(SOURCE_COLUMNS).to_pylist()
    assert sorted(row["column"] for row in columns) == sorted(asdict(line(DAY)))
    assert max(lake.read_arrow(EVENTS)["ds"].to_pylist()) == FIRST
