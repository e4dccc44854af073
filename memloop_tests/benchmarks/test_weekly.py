"""A week on the benchmark: the challenger chooses by the prompt alone, and everybody is scored on the same tasks."""

import math
from pathlib import Path
from typing import Any

import pytest

from memloop_assets.benchmarks import weekly
from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.suite import default_suite, load_suite, save_suite
from memloop_assets.benchmarks.weekly import (
    CHALLENGER,
    SHUFFLED,
    TWIN,
    current_suite,
    points_of,
    score_router,
    score_week,
)
from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.errors import BadInput
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.router import Router, single_arm_router
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_tests.scenario import LAST_RUN, finished_home


def test_the_imported_suite_serves_and_without_one_the_default(tmp_path: Path) -> None:
    assert current_suite(tmp_path / "suite.json") == default_suite()
    save_suite(default_suite(), tmp_path / "suite.json")
    assert current_suite(tmp_path / "suite.json") == default_suite()
    (tmp_path / "suite.json").write_text("{}")
    with pytest.raises(BadInput, match=r"suite\.json"):
        current_suite(tmp_path / "suite.json")


def test_a_router_is_scored_by_the_outcomes_of_what_it_chose(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    suite = load_suite(home.places.benchmark_suite)
    router = single_arm_router("lookup-tool", {"lookup-tool": 0.1, "large-model": 1.0}, {"lookup-tool": 0.5})
    scores = score_router(suite, router, "tool", {})
    holdout = suite.tasks_of("holdout")
    assert scores.task_ids == tuple(task.task_id for task in holdout)
    assert set(scores.arms) == {"lookup-tool"}
    assert scores.rewards.tolist() == [task.outcomes["lookup-tool"].reward for task in holdout]


def test_challenger_and_baselines_are_scored_on_the_same_holdout_tasks(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    suite = load_suite(home.places.benchmark_suite)
    samples = read_samples(home.store, LAST_RUN)
    (version,) = home.store.read("router_checkpoint", LAST_RUN)["version"].to_pylist()
    router = load_checkpoint(home.places.router_versions, version)
    scores = score_week(suite, router, samples, home.arm_prices, TrainingSettings())
    assert [one.policy for one in scores] == [
        CHALLENGER,
        SHUFFLED,
        TWIN,
        "best-single-arm",
        "cheapest-arm",
        "random",
        "task-mean",
        "oracle",
    ]
    assert {one.task_ids for one in scores} == {tuple(task.task_id for task in suite.tasks_of("holdout"))}
    by_name = {one.policy: one for one in scores}
    assert set(by_name["cheapest-arm"].arms) == {"lookup-tool"}
    assert max(one.mean_reward for one in scores) == by_name["oracle"].mean_reward


def test_every_router_meets_a_twin_of_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = finished_home(tmp_path / "home")
    suite, samples = load_suite(home.places.benchmark_suite), read_samples(home.store, LAST_RUN)
    seeds = []

    def noting_the_seed(router: Router, *_: Any, seed: int) -> Router:
        seeds.append(seed)
        return router

    monkeypatch.setattr(weekly, "fit_twin", noting_the_seed)
    settings = (TrainingSettings(), TrainingSettings(delta=0.03))
    routers = [fit_router(samples, home.arm_prices, one) for one in settings]
    for router in (*routers, routers[0]):
        score_week(suite, router, samples, home.arm_prices, settings[0])
    assert seeds[0] == seeds[2] != seeds[1]
    assert 0 not in seeds, "the challenger's"


def test_points_carry_intervals_and_leave_out_what_has_no_cost(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    suite = load_suite(home.places.benchmark_suite)
    router = single_arm_router("small-model", dict(home.arm_prices), dict.fromkeys(home.arm_prices, 0.5))
    priced = score_router(suite, router, "priced", home.arm_prices)
    count = len(priced.task_ids)
    unknown = PolicyScores(
        "unpriced", priced.task_ids, priced.arms, priced.rewards, priced.costs_usd * math.nan, priced.latencies_ms
    )
    (point,) = points_of([priced, unknown], "priced")
    assert (point.label, point.is_emphasised) == ("priced", True)
    assert point.x == pytest.approx(1000 * priced.mean_cost_usd)
    assert point.lower is not None
    assert point.upper is not None
    assert point.lower < point.y < point.upper
    assert count > 0
