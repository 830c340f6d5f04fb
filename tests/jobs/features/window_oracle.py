"""What windows should hold, row by row in plain Python: days are numbers, a tile is a dict with its `day`."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from jobs.config import FeaturesConfig
from jobs.features.plans import SOLD_TOTALS, SOLD_WINDOWED, WindowPlan

Tile = Mapping[str, Any]
Row = dict[str, Any]
_UNIT = 1 << 20  # half-life weights are in fixed point

CONFIG = FeaturesConfig(windows_days=(1, 7, 28), half_lives_days=(10, 3))


def user_rows(
    tiles: Sequence[Tile], as_of: Mapping[str, Iterable[int]], plan: WindowPlan, top: int
) -> list[Row]:
    """Rows of `windows_as_of`, as-of day in `ds`."""
    rows: list[Row] = []
    for user, days in as_of.items():
        for day in days:
            before = [tile for tile in tiles if tile["user_id"] == user and tile["day"] < day]
            of_user = [
                {"user_id": user, "ds": day, **keys, **_entity(own, day, plan)}
                for keys, own in _by(before, plan.keys)
                if any(tile["line_count"] for tile in own)
            ]
            rows += _ranked(of_user, plan, top) if plan.ranked else of_user
    return rows


def sold_rows(
    tiles: Sequence[Tile],
    days: Iterable[int],
    keys: Sequence[str],
    prefix: str,
    running_max: tuple[str, str, int] = ("quantity", "", 1 << 60),
) -> list[Row]:
    """Rows of `sold_windows`, as-of day in `ds`; `running_max` is (measure, column, kept above)."""
    rows: list[Row] = []
    measure, column, kept_above = running_max
    for day in days:
        for entity, own in _by([tile for tile in tiles if tile["day"] < day], keys):
            row = {"ds": day, **entity, **_sums(own, day, SOLD_WINDOWED, SOLD_TOTALS, prefix)}
            row[column] = max(tile[measure] for tile in own)
            rows += [row] if row[f"{prefix}_line_count_28d"] or row[column] > kept_above else []
    return rows


def _by(tiles: Sequence[Tile], keys: Sequence[str]) -> list[tuple[Row, list[Tile]]]:
    def key(tile: Tile) -> tuple[Any, ...]:
        return tuple(tile[name] for name in keys)

    groups = groupby(sorted(tiles, key=lambda tile: (key(tile), tile["day"])), key)
    return [(dict(zip(keys, values, strict=True)), list(own)) for values, own in groups]


def _sums(own: Sequence[Tile], day: int, windowed: Sequence[str], totals: Sequence[str], prefix: str) -> Row:
    of_windows = {
        f"{prefix}_{name}_{window}d": sum(tile[name] for tile in own if tile["day"] >= day - window)
        for name in windowed
        for window in CONFIG.windows_days
    }
    return of_windows | {f"{prefix}_{name}": sum(tile[name] for tile in own) for name in totals}


def _entity(own: Sequence[Tile], day: int, plan: WindowPlan) -> Row:
    bought_on = [tile["day"] for tile in own if tile["line_count"]]
    last, first = day - bought_on[-1], day - bought_on[0]
    interval = (first - last) / (len(bought_on) - 1) if len(bought_on) > 1 else None
    lines = sum(tile["line_count"] for tile in own)
    rhythm = {
        "day_count": len(bought_on),
        "days_since_last": last,
        "days_since_first": first,
        "mean_interval": interval,
        "due": last / interval if interval else None,
        "discount_share": sum(tile["discount_line_count"] for tile in own) / lines,
    }
    for half_life in CONFIG.half_lives_days if plan.half_life_of else ():
        weighted = [
            tile["line_count"] * round(0.5 ** ((day - tile["day"]) / half_life) * _UNIT) for tile in own
        ]
        rhythm[f"half_life_{half_life}d"] = sum(weighted) / _UNIT
    sums = _sums(own, day, plan.windowed, plan.totals, plan.prefix)
    return sums | {f"{plan.prefix}_{name}": value for name, value in rhythm.items()}


def _ranked(rows: Sequence[Row], plan: WindowPlan, top: int) -> list[Row]:
    """Adds rank and share among the rows of the same user (and level); equal counts go by the key."""
    strength = f"{plan.prefix}_half_life_{CONFIG.half_lives_days[0]}d"
    ranked: list[Row] = []
    for _, group in groupby(rows, lambda row: tuple(row[key] for key in plan.keys[:-1])):
        best_first = sorted(group, key=lambda row: (-row[strength], row[plan.keys[-1]]))
        total = sum(row[strength] for row in best_first)
        for rank, row in enumerate(best_first, start=1):
            ranked.append({**row, f"{plan.prefix}_rank": rank, f"{plan.prefix}_share": row[strength] / total})
    return [row for row in ranked if row[f"{plan.prefix}_rank"] <= top]
