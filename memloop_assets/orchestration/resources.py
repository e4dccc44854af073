"""The resource ``home``: what every asset reads from and writes to."""

import os
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from memloop_assets.home import Home, open_home
from memloop_assets.settings import find_home

__all__ = ["Home", "MemloopHome"]


class MemloopHome(dg.ConfigurableResource):
    """Opens the home of a run: ``MEMLOOP_HOME`` or the current folder, unless a folder is given.

    ``frozen_now`` (ISO 8601) replaces the clock, for tests and replays.
    """

    folder: str = ""
    frozen_now: str = ""

    def open(self) -> Home:
        """Open the home."""
        frozen = datetime.fromisoformat(self.frozen_now) if self.frozen_now else None
        folder = Path(self.folder) if self.folder else find_home(os.environ, Path.cwd())
        return open_home(folder, os.environ, lambda: frozen or datetime.now(tz=UTC))
