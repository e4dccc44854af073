"""A prior carried from week to week: however the weeks are run it is the same, and a new benchmark starts it anew."""

from dataclasses import replace
from typing import Any

import pytest

from memloop_assets.home import Home
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.prior_files import load_prior
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import (
    FIRST,
    WORLD,
    filled_home,
    import_benchmark,
    manifests,
    open_at,
    run_weeks_through_dagster,
    write_settings,
)

WEEKS = list(weeks_between(FIRST, FIRST.shift(3)))
SAMPLES = ["session_logs", "trajectories", "trajectory_quality", "sft_examples", "preference_pairs", "router_samples"]
ASSETS = [*SAMPLES, "benchmark_suite", "dataset_snapshot", "router_checkpoint"]
LEARNING = ["dataset_snapshot", "router_checkpoint"]


def run(home: Home, first: IsoWeek, last: IsoWeek | None = None, assets: list[str] = LEARNING) -> Home:
    assert run_weeks_through_dagster(home.settings.home, first, last, assets=assets).success
    return home


def row_of(home: Home, week: IsoWeek) -> dict[str, Any]:
    (row,) = home.store.read("router_checkpoint", week).to_pylist()
    return row


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home of four weeks that retains two, with a prior, run in one range."""
    home = filled_home(tmp_path_factory.mktemp("whole") / "home")
    settings = "[datasets]\nretention_weeks = 2\n[routing]\nprior_rank = 16\nmin_forest_tasks = 0"
    write_settings(home.settings.home, settings)
    return run(open_at(home.settings.home), WEEKS[0], WEEKS[-1], ASSETS)


def test_the_prior_holds_the_weeks_that_left_and_shapes_the_router(whole: Home) -> None:
    rows = [row_of(whole, week) for week in WEEKS]
    assert [row["prior_week_count"] for row in rows] == [0, 0, 1, 2]
    prior = load_prior(whole.places.router_priors, rows[-1]["prior_version"])
    assert prior.weeks == tuple(map(str, WEEKS[:2]))
    left = sum(whole.store.read("router_samples", week).num_rows for week in WEEKS[:2])
    assert prior.trial_weight == pytest.approx(left)
    router = load_checkpoint(whole.places.router_versions, rows[-1]["version"])
    assert set(prior.featuriser.terms) <= set(router.featuriser.terms)
    assert "router_checkpoint 2026-W04" in whole.store.manifest("router_checkpoint", WEEKS[3])["inputs"]


def test_week_by_week_and_again_it_is_the_same(whole: Home) -> None:
    before = manifests(whole)
    for week in WEEKS:
        run(whole, week)
    assert manifests(whole) == before


def test_a_week_that_has_no_router_is_passed_over(whole: Home) -> None:
    before = {week: row_of(whole, week) for week in WEEKS}
    whole.store.erase("router_checkpoint", WEEKS[2], str(whole.store.generation("router_checkpoint", WEEKS[2])))
    run(whole, WEEKS[3])
    assert row_of(whole, WEEKS[3])["prior_week_count"] == 2, "both have left since the last router"
    assert row_of(whole, WEEKS[3])["version"] != before[WEEKS[3]]["version"]
    run(whole, WEEKS[2], WEEKS[3])
    assert {week: row_of(whole, week) for week in WEEKS} == before


def test_another_benchmark_starts_the_prior_anew(whole: Home) -> None:
    import_benchmark(whole, replace(WORLD, seed=WORLD.seed + 1))
    run(whole, WEEKS[3], assets=["benchmark_suite", *LEARNING])
    assert row_of(whole, WEEKS[3])["prior_version"] is None
    run(whole, WEEKS[0], WEEKS[3], ASSETS)
    assert [row_of(whole, week)["prior_week_count"] for week in WEEKS] == [0, 0, 1, 2]
