"""The doorway of the room ``routing``: the week's challenger."""

import dagster as dg

from memloop_assets.datasets.snapshot import read_samples, window_of
from memloop_assets.orchestration.partitions import PREVIOUS_WEEK
from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.orchestration.week_loop import Built, run_weeks, weekly_asset
from memloop_assets.routing.checkpoint import save_checkpoint
from memloop_assets.routing.tables import ROUTER_CHECKPOINT, checkpoint_row
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.routing.weekly_prior import Window, carry_prior
from memloop_assets.weeks import IsoWeek

GROUP = "routing"


@weekly_asset(
    ROUTER_CHECKPOINT,
    group=GROUP,
    kinds={"scikitlearn", "numpy"},
    deps=["dataset_snapshot", dg.AssetDep("router_checkpoint", partition_mapping=PREVIOUS_WEEK)],
)
def router_checkpoint(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """The week's challenger: a router fitted on everything that the snapshot retains, never on a champion.

    With `[routing] prior_rank` it also keeps what rows taught that left retention: by a prior, carried on from the week before.
    """
    opened = home.open()
    settings = opened.settings.section("routing", TrainingSettings)

    def build(week: IsoWeek) -> Built:
        samples = read_samples(opened.store, week)
        kept = opened.settings.datasets
        start = window_of(week, opened.first_week, kept.retention_weeks)[0]
        window = Window(opened.first_week, start, week)
        prior, priors = carry_prior(opened.store, opened.places, window, settings, kept.age_half_life_weeks)
        config = (settings, opened.arm_prices)
        inputs = {**opened.store.input_of("dataset_snapshot", week), **priors}
        if not samples.num_rows:
            return Built(
                ROUTER_CHECKPOINT.table([]), inputs, config=config, metadata={"sample_count": 0, "arm_count": 0}
            )
        router = fit_router(samples, opened.arm_prices, settings, prior)
        save_checkpoint(router, opened.places.router_versions)
        row = checkpoint_row(router, week, samples.num_rows, prior)
        names = ("version", "reference_arm", "arm_count", "sample_count", "term_count", "prior_week_count")
        shown = {name: row[name] for name in names}
        return Built(ROUTER_CHECKPOINT.table([row]), inputs, config=config, metadata=shown)  # type: ignore[arg-type]

    return run_weeks(context, opened, ROUTER_CHECKPOINT, build)
