"""How a command ends: 0 well, 1 failure, 2 bad usage or configuration, 3 another run holds the date."""

import subprocess

from jobs.config import ConfigError

EXIT_FAILED, EXIT_USAGE, EXIT_HELD = 1, 2, 3


class RunHeldError(RuntimeError):
    """Another process is at work on the same scenario and date."""


class QueryError(ValueError):
    """A query that is not allowed, or that the database cannot run."""


def exit_code_of(error: Exception) -> int | None:
    """The exit code of an error whose message says all; None for one that needs its traceback."""
    if isinstance(error, ConfigError | QueryError):
        return EXIT_USAGE
    if isinstance(error, RunHeldError):
        return EXIT_HELD
    if isinstance(error, ValueError | FileNotFoundError | subprocess.CalledProcessError):
        return EXIT_FAILED
    return None
