"""Which weeks of which tables were built from inputs that have moved on since: late lines, a table built again, another benchmark.

Reads manifests and pointers alone, and mends nothing.
"""

from collections.abc import Iterable, Mapping, Sequence

from memloop_assets.errors import MemloopError
from memloop_assets.store import Store
from memloop_assets.weeks import IsoWeek

Moved = Mapping[str, Mapping[IsoWeek, Sequence[str]]]


def moved_weeks(store: Store, names: Iterable[str], landed: Mapping[str, str]) -> Moved:
    """Return per table the weeks whose inputs have moved on, each with these inputs; tables without such a week are left out.

    ``landed`` holds the digests of the landed lines. A week that stands failed or cannot be read is told elsewhere and left out.
    """
    found: dict[str, dict[IsoWeek, Sequence[str]]] = {}
    for name in names:
        for week in store.weeks(name):
            try:
                moved = store.moved_inputs(name, week, landed)
            except MemloopError:
                continue
            if moved:
                found.setdefault(name, {})[week] = moved
    return found


def stale_range(moved: Moved) -> tuple[IsoWeek, IsoWeek] | None:
    """Return the first and the last week that any table should be built again for, None where all are current."""
    weeks = [week for by_week in moved.values() for week in by_week]
    return (min(weeks), max(weeks)) if weeks else None
