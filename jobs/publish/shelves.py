"""A user's shelf as a person reads it: titles and reasons, not ids alone."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyiceberg.expressions import EqualTo, In

from jobs.lake.lake import Lake
from jobs.publish.records import Row, read_rows
from jobs.stage import Run

_SAMPLES = {"Shops a lot": 0.95, "In the middle": 0.5, "Shops little": 0.1}
_SHOWN_COUPONS = 5


@dataclass(frozen=True)
class Shelf:
    """What one user gets: the profile if there is one, items and coupons best first."""

    title: str
    user_id: str
    profile: Row | None
    items: Sequence[Row]
    coupons: Sequence[Row]


def read_shelf(lake: Lake, user_id: str, day: date, snapshots: Mapping[str, int]) -> Shelf:
    """The published shelf of a user.

    Raises:
        ValueError: if the user has none on the day.
    """
    is_user = EqualTo(term="user_id", value=user_id)

    def of_user(table: str) -> list[Row]:
        snapshot = snapshots.get(table)
        return read_rows(lake, table, (day, day), is_user, snapshot) if snapshot else []

    recommendations = of_user("recommendations")
    if not recommendations:
        raise ValueError(f"user {user_id!r} has no shelf on {day}: nothing is known of a user with that id")
    titles = read_items(lake, {row["item_id"] for row in recommendations})
    profile = next(iter(of_user("user_profiles")), None)
    return _make_shelf("", profile, recommendations, of_user("coupon_recommendations"), titles)


def sample_shelves(lake: Lake, run: Run) -> list[Shelf]:
    """Shelves of a few users between heavy and light, always the same ones for the same tables."""
    today = (run.date, run.date)
    shelves: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(lake, "recommendations", today):
        if row["run_id"] == run.run_id:
            shelves[row["user_id"]].append(row)
    profiles = {row["user_id"]: row for row in read_rows(lake, "user_profiles", today)}
    users = sorted(shelves, key=lambda user: (profiles.get(user, {}).get("spend_28d") or 0, user))
    if not users:
        return []
    chosen = {title: users[int(share * (len(users) - 1))] for title, share in _SAMPLES.items()}
    coupons = read_rows(lake, "coupon_recommendations", today, _is_one_of("user_id", chosen.values()))
    titles = read_items(lake, {row["item_id"] for user in chosen.values() for row in shelves[user]})
    return [
        _make_shelf(
            title,
            profiles.get(user),
            shelves[user],
            [row for row in coupons if row["user_id"] == user],
            titles,
        )
        for title, user in chosen.items()
    ]


def read_items(lake: Lake, item_ids: Iterable[str]) -> dict[str, Row]:
    """Title and category of items."""
    rows = read_rows(lake, "items", (date.min, date.max), _is_one_of("item_id", item_ids))
    return {
        row["item_id"]: {"title": row["title"], "category": " / ".join((row["category_path"] or [])[:2])}
        for row in rows
    }


def _make_shelf(
    title: str,
    profile: Row | None,
    recommendations: Sequence[Row],
    coupons: Sequence[Row],
    titles: Mapping[str, Row],
) -> Shelf:
    unknown = {"title": None, "category": None}
    items = [{**row, **titles.get(row["item_id"], unknown)} for row in sorted(recommendations, key=_rank)]
    return Shelf(title, items[0]["user_id"], profile, items, sorted(coupons, key=_rank)[:_SHOWN_COUPONS])


def _is_one_of(column: str, values: Iterable[str]) -> In:
    return In(term=column, literals=sorted(set(values)))


def _rank(row: Row) -> int:
    return int(row["rank"])
