"""Antipode in a notebook: `antipode.connect()`, and its tables are pandas frames. Nothing heavy is imported before.

The command line of the same name is in `flows`.
"""

from antipode.connection import Connection, HiddenPackageError, connect
from antipode.started_run import RunFailedError, StartedRun

__all__ = ["Connection", "HiddenPackageError", "RunFailedError", "StartedRun", "connect"]
