"""The files of a mapped log: which ones there are, and in which landing folder.

A path is a file, a folder (all files below it) or a pattern with * and ?; {date} in it stands for the day
on which the files landed, so that a night lists the folders of the days that it needs and no others.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from pyarrow import fs

from jobs.lake.catalog import REPOSITORY
from jobs.lake.days import DayRange, days_between
from jobs.lake.lake import local_path, spark_path

logger = logging.getLogger(__name__)

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class LogFile:
    """A file: its URI or local path, its name below the log's folder, its landing day if the path has one."""

    uri: str
    name: str
    day: date | None
    size: int
    modified_ns: int


def root_of(path: str) -> str:
    """The log's folder: a URI as it is, a relative path below the project's folder."""
    return path if "://" in path else str((REPOSITORY / path).resolve())


def check_root(root: str) -> None:
    """Raises a ValueError if there is no folder `root`; of an object store only reading can tell."""
    if "://" not in root and not Path(root).is_dir():
        raise ValueError(
            f"{root}: there is no such folder. It is logs.path of the scenario: put the log there, or change "
            f"the path (the log of the scenario shop is made by: nightshelf simulate --to {root})"
        )


def list_files(root: str, pattern: str, day: date | None = None) -> list[LogFile]:
    """The files that a pattern names (on a landing day), sorted; without hidden ones (_SUCCESS, .crc)."""
    filesystem, base = fs.FileSystem.from_uri(root)
    base = base.rstrip("/")
    segments = (pattern.format(date=day) if day else pattern).strip("/").split("/")
    fixed = list(takewhile(lambda segment: not _WILDCARD.search(segment), segments))
    start = filesystem.get_file_info("/".join([base, *fixed]))
    if start.type == fs.FileType.File:
        found = [start]
    elif start.type == fs.FileType.Directory:
        found = filesystem.get_file_info(fs.FileSelector(start.path, recursive=True))
    else:
        found = []
    files = []
    for info in found:
        name = info.path.removeprefix(f"{base}/")
        if info.type == fs.FileType.File and _matches(name, segments, len(fixed)):
            uri = root.rstrip("/").removesuffix(base) + info.path
            files.append(LogFile(uri, name, day, info.size, info.mtime_ns or 0))
    return sorted(files, key=lambda file: file.name)


def _matches(name: str, segments: Sequence[str], num_fixed: int) -> bool:
    """Whether the pattern names the file or a folder above it."""
    parts = name.split("/")
    is_hidden = any(part.startswith(("_", ".")) for part in parts[num_fixed:])
    return not is_hidden and len(parts) >= len(segments) and all(map(fnmatchcase, parts, segments))


def list_landing_files(root: str, pattern: str, days: DayRange, needed: date | None) -> list[LogFile]:
    """The files that landed on `days`; a day without any is a gap in the log, unless it is `needed`.

    Raises:
        ValueError: if nothing landed on the day `needed`: the night has come before its log.
    """
    files = []
    for day in days_between(*days):
        landed = list_files(root, pattern, day)
        if not landed and day == needed:
            raise ValueError(
                f"{root}/{pattern.format(date=day)}: nothing has landed for {day}. Run again once it has; "
                "a day without events is a file without rows"
            )
        if not landed:
            logger.warning("%s: nothing landed on %s", pattern, day)
        files += landed
    return files


def spark_paths(files: Sequence[LogFile]) -> list[str]:
    """The files' paths for a Spark reader, which would take [, {, * and ? in a name for a pattern."""
    return [re.sub(r"([\[\]{}*?\\])", r"\\\1", spark_path(file.uri)) for file in files]


def file_of_spark_uri(uri: str, by_path: dict[str, LogFile]) -> LogFile:
    """The file that Spark's percent-encoded URI means."""
    path = local_path(uri) if uri.startswith("file:") else unquote(uri)
    return by_path[path]
