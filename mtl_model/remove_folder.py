"""Removes a folder whose name was put together, only where it lies below the folder that it belongs to."""

import shutil
from pathlib import Path


def remove_folder(folder: Path, parent: Path) -> None:
    """Removes `folder`, which lies somewhere below `parent`, and all in it; it need not be there.

    Raises:
        ValueError: if it leads elsewhere, by `..` or a link.
    """
    refuse_outside(folder, parent)
    if folder.exists():
        shutil.rmtree(folder)


def refuse_outside(path: Path, parent: Path) -> None:
    """Of the keys of an object store, too: what is compared are names, once links have been followed."""
    if parent.resolve() not in path.resolve().parents:
        raise ValueError(f"{path} is not below {parent}: it is left alone; remove it by hand if it should go")
