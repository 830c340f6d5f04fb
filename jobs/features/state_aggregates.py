"""The aggregates over tiles that a state keeps, and how each follows from that of the day before."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from jobs.features.declared import DeclaredColumn
from jobs.lake.columns import Column

_AGGREGATE = re.compile(
    r"(?P<call>(?:sum|count|min|max)\([^()]+\)) FILTER \(WHERE (?P<events>event_type IN \([^()]*\))"
    r"(?: AND ds >= \$day - (?P<window>\d+))?(?P<known> AND \w+_count > 0| AND \w+ IS NOT NULL)?\)"
)
ANYTHING = "true"


@dataclass(frozen=True)
class Aggregate:
    """`call` over the tiles of the last `window` days (None: of all before) for which `condition` holds."""

    call: str
    condition: str
    window: int | None

    @property
    def name(self) -> str:
        measure = {"max(ds)": "last_day", "min(ds)": "first_day", "count(DISTINCT ds)": "day_count"}
        name = measure.get(self.call) or re.sub(r"\w+\(|\)", "", self.call).replace(" * ", "_x_")
        if self.is_newest:
            name = self.call.split("'value': ")[1].rstrip("})")
        events = "_or_".join(re.findall(r"'(\w+)'", self.condition)) or "any_event"
        valued = re.search(r" AND (\w+?)(?:_count > 0| IS NOT NULL)", self.condition)
        with_value = f"_with_{valued[1]}" if valued and not self.is_newest else ""
        return f"{name}_{events}{with_value}" + (f"_{self.window}d" if self.window else "")

    @property
    def is_newest(self) -> bool:
        return self.call.startswith("max({")

    @property
    def is_sum(self) -> bool:
        return self.call.startswith("sum(")

    @property
    def can_be_kept(self) -> bool:
        """Whether the value as of a day follows from that of the day before and from whole days' tiles."""
        if self.is_newest or re.fullmatch(r"sum\(\w+(?: \* \w+)?\)|max\(ds\)", self.call):
            return True
        in_all = r"(?:min|max)\(\w+\)|count\(DISTINCT ds\)"
        return self.window is None and re.fullmatch(in_all, self.call) is not None

    @property
    def newest_day(self) -> "Aggregate":
        return Aggregate("max(ds)", self.condition, self.window)

    @property
    def column(self) -> Column:
        when = f"in the {self.window} days before" if self.window else "in all days before"
        kind = "date" if self.call in {"max(ds)", "min(ds)"} else "long"
        return Column(self.name, kind, f"{self.call} of the tiles {when} where {self.condition}")

    def over(self, days: str) -> str:
        """The value over the tiles of some days."""
        value = f"{self.call} FILTER (WHERE {self.condition} AND {days})"
        if self.is_newest:
            return f"({value}).value"
        return f"coalesce({value}, 0)::BIGINT" if self.is_sum else value

    @property
    def from_tiles(self) -> str:
        return self.over(f"ds >= $day - {self.window}" if self.window else "ds < $day")

    @property
    def changes(self) -> dict[str, str]:
        """Name -> SQL, over the tiles, of what the newest day brings and what leaves the window."""
        found = {self._new: self.over("ds = $day - 1")}
        if self.is_newest:
            found |= self.newest_day.changes
        if self.is_sum and self.window:
            found[self._gone] = self.over(f"ds = $day - 1 - {self.window}")
        return found

    @property
    def from_state(self) -> str:
        """The value from the state of the day before, `kept`, and from `changed`; either may have no row."""
        kept, new = f"kept.{self.name}", f"changed.{self._new}"
        if self.is_sum:
            gone = f" - coalesce(changed.{self._gone}, 0)" if self.window else ""
            return f"coalesce({kept}, 0) + coalesce({new}, 0){gone}"
        if self.call == "count(DISTINCT ds)":
            return f"coalesce({kept}, 0) + coalesce({new}, 0)"
        if self.call == "max(ds)" or self.is_newest:
            day = self.newest_day
            in_window = f"kept.{day.name} >= $day - {self.window}" if self.window else ANYTHING
            return f"CASE WHEN changed.{day._new} IS NOT NULL THEN {new} WHEN {in_window} THEN {kept} END"
        return f"{'least' if self.call.startswith('min') else 'greatest'}({kept}, {new})"

    @property
    def _new(self) -> str:
        """The same for all windows."""
        return f"{replace(self, window=None).name}_new"

    @property
    def _gone(self) -> str:
        return f"{self.name}_gone"


@dataclass(frozen=True)
class CountSince:
    """Events of the days after the last day with one of `since`; `from_tiles` is the SQL of the feature."""

    name: str
    events: str
    since: str
    from_tiles: str
    is_sum: ClassVar[bool] = False
    window: ClassVar[None] = None

    @property
    def column(self) -> Column:
        return Column(self.name, "long", f"events {self.events} on days after the last of {self.since}")

    @property
    def changes(self) -> dict[str, str]:
        return {
            f"{self.name}_new": f"coalesce(sum(event_count) FILTER ({_on_new_day(self.events)}), 0)::BIGINT",
            f"{self.name}_begins": f"count(*) FILTER ({_on_new_day(self.since)}) > 0",
        }

    @property
    def from_state(self) -> str:
        """A day with one of `since` begins the count anew."""
        counted = f"coalesce(kept.{self.name}, 0) + coalesce(changed.{self.name}_new, 0)"
        return f"CASE WHEN changed.{self.name}_begins THEN 0 ELSE {counted} END"


def any_event(horizon: int | None) -> Aggregate:
    """An entity has a row as long as this is above 0."""
    return Aggregate("sum(event_count)", ANYTHING, horizon)


def count_since(column: DeclaredColumn, since: Sequence[str]) -> CountSince:
    events, earlier = (_is_one_of(types) for types in (column.feature.events, since))
    return CountSince(f"{column.column.name}_kept", events, earlier, column.sql)


def find_aggregates(sql: str) -> list[Aggregate]:
    """The aggregates over tiles in the SQL of a declared feature."""
    return [_aggregate(found) for found in _AGGREGATE.finditer(sql)]


def read_from_state(sql: str) -> str:
    """The same SQL with columns of the state in place of its aggregates over tiles."""
    return _AGGREGATE.sub(_kept, sql)


def _aggregate(found: re.Match[str]) -> Aggregate:
    condition = found["events"] + (found["known"] or "")
    return Aggregate(found["call"], condition, int(found["window"]) if found["window"] else None)


def _kept(found: re.Match[str]) -> str:
    one = _aggregate(found)
    return f"{{'value': {one.name}}}" if one.is_newest else one.name


def _is_one_of(event_types: Sequence[str]) -> str:
    return f"event_type IN ({', '.join(repr(name) for name in event_types)})"


def _on_new_day(events: str) -> str:
    return f"WHERE {events} AND ds = $day - 1"
