"""A week's prior: that of the last week that had a router, with the rows that left retention since.

Here belongs which rows these are and when a prior starts anew; not here: what is made of them (``prior.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.datasets.tables import DATASET_SNAPSHOT
from memloop_assets.datasets.weights import age_weight
from memloop_assets.paths import Places
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.prior import Leaving, Prior, absorb
from memloop_assets.routing.prior_files import load_prior, save_prior
from memloop_assets.routing.tables import ROUTER_CHECKPOINT
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.store import MISSING, Store
from memloop_assets.weeks import IsoWeek, weeks_between


@dataclass(frozen=True)
class Window:
    """The weeks that are retained as of the last of them, ``week``; ``first_week`` is the first that the loop knows."""

    first_week: IsoWeek
    start: IsoWeek
    week: IsoWeek


def carry_prior(
    store: Store,
    places: Places,
    window: Window,
    settings: TrainingSettings,
    age_half_life_weeks: float | None,
) -> tuple[Prior | None, dict[str, str]]:
    """Return the prior of a week, saved, and what it was made of; None where no row has left, or ``prior_rank`` is 0.

    A week without a router, or one that is missing, is passed over: what left since the last one is taken up now. Under another
    benchmark than the prior's it starts anew, with nothing: what is held out now may be in it. Raises TableError and BadCheckpoint.
    """
    if not settings.prior_rank:
        return None, {}
    before, row, inputs = _last_router(store, window)
    if before is None:
        return None, inputs
    inputs |= store.input_of(DATASET_SNAPSHOT.name, before)
    benchmark = _benchmark_of(store, window.week)
    if _benchmark_of(store, before) != benchmark:
        return None, inputs
    prior = load_prior(places.router_priors, str(row["prior_version"])) if row["prior_version"] else None
    if prior is not None and prior.benchmark != benchmark:
        prior = None
    samples = _leaving(store, before, window)
    if samples.num_rows:
        router = load_checkpoint(places.router_versions, str(row["version"]))
        weeks = tuple(sorted(set(samples["week"].to_pylist())))
        leaving = Leaving(samples, weeks, benchmark)
        floor = settings.propensity_floor
        prior = absorb(prior, router, leaving, rank=settings.prior_rank, propensity_floor=floor)
    if prior is not None and age_half_life_weeks is not None:
        prior = prior.faded(age_weight(round((window.week.start - before.start).days / 7), age_half_life_weeks))
    if prior is not None:
        save_prior(prior, places.router_priors)
    return prior, inputs


def _last_router(store: Store, window: Window) -> tuple[IsoWeek | None, Mapping[str, object], dict[str, str]]:
    """Return the last week before that has a router, its row, and the generations of all weeks that were looked at."""
    inputs: dict[str, str] = {}
    for before in reversed(list(weeks_between(window.first_week, window.week))[:-1]):
        if not store.is_readable(ROUTER_CHECKPOINT.name, before):
            inputs[f"{ROUTER_CHECKPOINT.name} {before}"] = MISSING
            continue
        inputs |= store.input_of(ROUTER_CHECKPOINT.name, before)
        rows = store.read(ROUTER_CHECKPOINT.name, before).to_pylist()
        if rows:
            return before, rows[0], inputs
    return None, {}, inputs


def _leaving(store: Store, before: IsoWeek, window: Window) -> pa.Table:
    """Return the samples that the snapshot of a week before retained and the present one does not, for their age.

    An example of which a later week holds the same stays: the snapshot names it by that week now.
    """
    samples = read_samples(store, before)
    kept = read_samples(store, window.week)["example_id"].combine_chunks()
    is_old = pc.less(samples["week"], str(window.start))
    return samples.filter(pc.and_(is_old, pc.invert(pc.is_in(samples["example_id"], value_set=kept))))


def _benchmark_of(store: Store, week: IsoWeek) -> str:
    """Return the generation of the benchmark that was held out of a week's snapshot."""
    return str(store.manifest(DATASET_SNAPSHOT.name, week)["inputs"].get("benchmark_suite"))
