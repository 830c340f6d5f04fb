"""The name of a run: it becomes part of file names, and stands for one night of one scenario."""

import re
from datetime import date

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError

from jobs.config import ConfigError

_RUN_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.~+-]{1,100}")


def check_run_id(run_id: str) -> None:
    """Raises ConfigError unless it is safe as a file name, here and in an object store."""
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError([
            f"run id {run_id!r}: it must be 1 to 100 letters, digits and _ . ~ + -, and neither . nor .."
        ])  # fmt: skip


def refuse_other_night(catalog: Catalog, table: str, scenario: str, day: date, run_id: str) -> None:
    """One name for two nights would give the second one the model and the records of the first.

    Goes by the snapshots of `table`, in which each stage records itself: their summaries name the run and are
    in memory once the table is loaded, while its rows lie in a file for each stage of each night.

    Raises:
        ConfigError: if the run is on record for another date or scenario.
    """
    for namespace in catalog.list_namespaces():
        try:
            snapshots = catalog.load_table((*namespace, table)).snapshots()
        except NoSuchTableError:
            continue
        for snapshot in snapshots:
            said = snapshot.summary.additional_properties if snapshot.summary else {}
            night = ".".join(namespace), said.get("nightshelf.date", str(day))
            if said.get("nightshelf.run-id") == run_id and night != (scenario, str(day)):
                raise ConfigError([
                    f"run id {run_id!r} is on record for {' '.join(night)}: give {scenario} {day} another "
                    "--run-id, or none"
                ])  # fmt: skip
