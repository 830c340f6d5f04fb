"""Makes what readers saw after an older run visible again: one commit, no data moves."""

from dataclasses import replace

from jobs.lake.lake import Lake
from jobs.publish.publications import ROLLED_BACK_TO, Publication, publish, read_publications, utc_now

_SHOWN_RUNS = 10


def roll_back(lake: Lake, run_id: str) -> Publication:
    """Publishes the tables of an older run again; the days after its own are hidden until they are run anew.

    Raises:
        ValueError: if no such run was ever published, or its snapshots are gone.
    """
    publications = read_publications(lake)
    of_run = [publication for publication in publications if publication.run_id == run_id]
    if not of_run:
        newest = dict.fromkeys(publication.run_id for publication in reversed(publications))
        known = ", ".join(list(newest)[:_SHOWN_RUNS]) or "none"
        raise ValueError(f"run {run_id!r} was never published; the newest published runs: {known}")
    _refuse_collected(lake, of_run[-1])
    again = replace(of_run[-1], kind=ROLLED_BACK_TO, published_at=utc_now())
    publish(lake, again)
    return again


def _refuse_collected(lake: Lake, publication: Publication) -> None:
    for table, snapshot_id in publication.snapshots.items():
        identifier = (lake.scenario, table)
        exists = lake.catalog.table_exists(identifier)
        if not exists or lake.catalog.load_table(identifier).snapshot_by_id(snapshot_id) is None:
            raise ValueError(
                f"snapshot {snapshot_id} of {table}, which run {publication.run_id} published, has been "
                f"collected: run {publication.day} again"
            )
