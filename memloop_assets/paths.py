"""Where things lie: one home, and under its data folder one place per kind of thing.

Only names of places belong here; what the files hold is the business of the module that writes them.
"""

from dataclasses import dataclass
from pathlib import Path

SETTINGS_FILE = "memloop.toml"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders and files of one data home."""

    data: Path

    @property
    def tables(self) -> Path:
        """Weekly tables, written by ``store`` alone."""
        return self.data / "tables"

    @property
    def landing(self) -> Path:
        """Raw copies of every ingested log, byte for byte."""
        return self.data / "landing"

    @property
    def state_database(self) -> Path:
        """The SQLite file with the log index and the ledger."""
        return self.data / "state.sqlite"

    @property
    def router_versions(self) -> Path:
        """Router checkpoints by version."""
        return self.data / "router-versions"

    @property
    def router_priors(self) -> Path:
        """What rows that left the retention window taught, by version."""
        return self.data / "router-priors"

    @property
    def training_reports(self) -> Path:
        """One report per attempt, in a folder per week."""
        return self.data / "training-reports"

    @property
    def benchmark_suite(self) -> Path:
        """The imported benchmark suite; absent until one is imported."""
        return self.data / "benchmark" / "suite.json"

    @property
    def backfill_lock(self) -> Path:
        """The file that a running backfill holds locked."""
        return self.data / "backfill.lock"

    @property
    def champion(self) -> Path:
        """The live pointer that agents read."""
        return self.data / "champion.json"
