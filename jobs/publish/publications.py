"""Which run readers see on which day, replayed from the rows of `publications`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from jobs.lake.lake import Lake
from jobs.publish.tables import PUBLICATIONS

PUBLISHED, ROLLED_BACK_TO = "published", "rolled_back_to"


@dataclass(frozen=True)
class Publication:
    """One visible step: a run's day, and the snapshot of each of its output tables."""

    day: date
    run_id: str
    published_at: datetime
    kind: str
    model_version: str | None
    snapshots: Mapping[str, int]


def read_publications(lake: Lake) -> list[Publication]:
    """All publications so far, oldest first."""
    rows = lake.read_arrow(PUBLICATIONS).sort_by("published_at").to_pylist()
    return [
        Publication(
            row["ds"],
            row["run_id"],
            row["published_at"],
            row["kind"],
            row["model_version"],
            {table: int(snapshot) for table, snapshot in row["snapshots"]},
        )
        for row in rows
    ]


def visible_publications(publications: Iterable[Publication]) -> dict[date, Publication]:
    """What is visible after them: on each day the newest; a rollback also hides the days after its own."""
    visible: dict[date, Publication] = {}
    for publication in publications:
        if publication.kind == ROLLED_BACK_TO:
            visible = {day: shown for day, shown in visible.items() if day < publication.day}
        visible[publication.day] = publication
    return dict(sorted(visible.items()))


def publish(lake: Lake, publication: Publication) -> None:
    """Makes a publication visible: one commit of one row, in place of the same run's same step."""
    row = {
        "ds": publication.day,
        "run_id": publication.run_id,
        "published_at": publication.published_at,
        "kind": publication.kind,
        "model_version": publication.model_version,
        "snapshots": [(table, str(snapshot)) for table, snapshot in publication.snapshots.items()],
    }
    lake.append(PUBLICATIONS, [row], replacing={"run_id": publication.run_id, "kind": publication.kind})


def utc_now() -> datetime:
    """When a publication happens: the one place of this stage that looks at the clock."""
    return datetime.now(UTC)
