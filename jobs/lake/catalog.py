"""The one catalog that all tables live in: by default a SQL catalog on SQLite below the home.

Any other pyiceberg catalog (REST, Glue, Hive, Postgres) is a matter of `catalog` in conf/local.yaml.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pyiceberg.catalog import Catalog, load_catalog

REPOSITORY = Path(__file__).resolve().parents[2]


def home_folder() -> Path:
    """Where all state lives: $NIGHTSHELF_HOME, else `.nightshelf` in the repository; always absolute."""
    return Path(os.environ.get("NIGHTSHELF_HOME") or REPOSITORY / ".nightshelf").absolute()


def open_catalog(home: Path, properties: Mapping[str, str]) -> Catalog:
    """Opens the catalog that `properties` describe; without any, the embedded one below `home`."""
    if properties:
        return load_catalog("nightshelf", **properties)
    folder = home / "lake"
    (folder / "warehouse").mkdir(parents=True, exist_ok=True)
    return load_catalog(
        "nightshelf",
        type="sql",
        uri=f"sqlite:///{folder / 'catalog.db'}?timeout=60",
        warehouse=f"file://{folder / 'warehouse'}",
    )
