"""The audit of a week: what an attempt used and came to, read from tables and the ledger for its report.

Reads, never writes and never decides; a table that cannot be read is left out, and the decision's own reasons say so.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from memloop_assets.datasets.tables import DATASET_SNAPSHOT, ROUTER_SAMPLES
from memloop_assets.errors import TableError
from memloop_assets.promotion.report import Audit
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.promotion.weekly import DecidedWeek
from memloop_assets.routing.versions import Ledger
from memloop_assets.store import Store
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_assets.weeks import IsoWeek


def audit_week(week: IsoWeek, store: Store, ledger: Ledger, rehearsed: DecidedWeek | None = None) -> Audit:
    """Return the audit of a week: of the decision that lies in the store (or failed there), or of one that a dry run rehearsed.

    ``ledger`` is the home's own, never a rehearsed one.
    """
    decision: Mapping[str, Any] | None
    fault = None
    if rehearsed:
        decision, inputs = rehearsed.row, rehearsed.found.inputs
    else:
        try:
            (decision,) = store.read(PROMOTION_DECISION.name, week).to_pylist()
            inputs = store.input_of(PROMOTION_DECISION.name, week)
        except TableError as error:
            decision, inputs, fault = None, {}, str(error)
    row = ledger.decision_of(week)
    per_week, ids = _samples_by_week(store, week)
    return Audit(
        week,
        decision=decision,
        fault=fault,
        standing=row,
        trajectory_count=_row_count(store, TRAJECTORIES.name, week),
        sample_ids=ids,
        earlier_samples={of: count for of, count in sorted(per_week.items()) if of != str(week)},
        is_snapshot_known=store.is_readable(DATASET_SNAPSHOT.name, week),
        lineage=lineage_of(store, week, inputs),
    )


def lineage_of(store: Store, week: IsoWeek, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the generations of inputs and of everything of this week that they were built from, by name.

    Tables of earlier weeks are named and not descended into: their own reports do. What is no table any more is named too.
    """
    found: dict[str, str] = {}
    waiting = dict(inputs)
    while waiting:
        label, generation = waiting.popitem()
        found[label] = generation
        name, _, of = label.partition(" ")
        if of not in ("", str(week)):
            continue
        try:
            below = store.manifest(name, IsoWeek.parse(of) if of else None, generation)["inputs"]
        except TableError:
            continue
        waiting.update({label: of_it for label, of_it in below.items() if label not in found})
    return dict(sorted(found.items()))


def _samples_by_week(store: Store, week: IsoWeek) -> tuple[Counter[str], list[str]]:
    """Return the router samples that the snapshot retains, counted by their week, and the ids of this week's."""
    try:
        snapshot = store.read(DATASET_SNAPSHOT.name, week, ["table_name", "example_week", "example_id"])
    except TableError:
        return Counter(), []
    samples = snapshot.filter(pc.equal(snapshot["table_name"], ROUTER_SAMPLES.name))
    own = samples.filter(pc.equal(samples["example_week"], str(week)))
    return Counter(samples["example_week"].to_pylist()), sorted(own["example_id"].to_pylist())


def _row_count(store: Store, name: str, week: IsoWeek) -> int | None:
    try:
        return int(store.manifest(name, week)["row_count"])
    except TableError:
        return None
