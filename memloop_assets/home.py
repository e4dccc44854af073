"""One opened home: its settings, tables, landing, ledger and clock, for whoever drives the loop (Dagster's resource, the command line).

It joins the pieces and decides nothing; how each works is said in its own module.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from memloop_assets.errors import BadInput
from memloop_assets.paths import SETTINGS_FILE, Places
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.routing.versions import Ledger
from memloop_assets.settings import DEFAULT_DATA_HOME, DEFAULT_FIRST_WEEK, Settings, load_settings
from memloop_assets.state import State
from memloop_assets.store import Store
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.redaction import RedactionSettings
from memloop_assets.weeks import IsoWeek

ROOM_SETTINGS = {"redaction": RedactionSettings, "routing": TrainingSettings, "promotion": PromotionPolicy}
"""The rooms' own settings, by their section of ``memloop.toml``."""


@dataclass(frozen=True)
class Home:
    """Everything of one home, opened."""

    settings: Settings
    store: Store
    state: State
    landing: Landing
    ledger: Ledger
    now: Callable[[], datetime]

    @property
    def places(self) -> Places:
        """Return where things lie."""
        return self.settings.places

    @property
    def first_week(self) -> IsoWeek:
        """Return the first week that the loop knows."""
        return self.settings.first_week or DEFAULT_FIRST_WEEK

    @property
    def arm_prices(self) -> dict[str, float]:
        """Return the configured prices per call, USD."""
        return {
            name: price.usd_per_call for name, price in self.settings.arms.items() if price.usd_per_call is not None
        }


def open_home(folder: Path, environment: Mapping[str, str], now: Callable[[], datetime]) -> Home:
    """Open a home: read its settings, make or migrate its database. Raises BadSettings."""
    settings = load_settings(folder, environment)
    places = settings.places
    state = State(places.state_database)
    return Home(settings, Store(places.tables), state, Landing(places.landing, state), Ledger(state), now)


def open_home_now(folder: Path, environment: Mapping[str, str]) -> Home:
    """Open a home with this machine's clock; raises as ``open_home`` does."""
    return open_home(folder, environment, lambda: datetime.now(tz=UTC))


def check_settings(folder: Path, environment: Mapping[str, str]) -> None:
    """Raise BadSettings for whatever is wrong with ``memloop.toml``, the rooms' sections too: before a run meets it after minutes."""
    settings = load_settings(folder, environment)
    for name, kind in ROOM_SETTINGS.items():
        settings.section(name, kind)


def is_home(folder: Path) -> bool:
    """Tell whether a folder is a home: it holds a ``memloop.toml`` or a data folder."""
    return (folder / SETTINGS_FILE).exists() or (folder / DEFAULT_DATA_HOME).is_dir()


def require_home(folder: Path) -> None:
    """Raise BadInput for a folder that is no home: what only reads makes none, so that a misspelt name is told and leaves no trace."""
    if is_home(folder):
        return
    culprit = f"neither {SETTINGS_FILE} nor {DEFAULT_DATA_HOME}/ lies there"
    if not folder.is_dir():
        culprit = "it is not a folder" if folder.exists() else "there is no such folder"
    fix = "name another with --home or MEMLOOP_HOME, or make it one: `memloop ingest PATH` does"
    raise BadInput(f"home {folder}", culprit, fix)
