"""Weights: all 1 unless asked for; then the old count less, the hard more, and the good more among those that are imitated."""

import pyarrow as pa
import pytest

from memloop_assets.datasets.snapshot import build_snapshot, weigh_snapshot
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, PREFERENCE_PAIRS, ROUTER_SAMPLES, SFT_EXAMPLES
from memloop_assets.datasets.weights import age_weight, curriculum_weight, difficulty_by_task
from memloop_assets.settings import DatasetSettings
from memloop_assets.weeks import IsoWeek

WEEK = IsoWeek(2027, 1)
NOBODY: frozenset[str] = frozenset()
Weights = dict[tuple[str, str], float]


def rows(**rewards: float | None) -> pa.Table:
    """Return examples by id with their reward, each of the task that its id's first letter names."""
    return pa.Table.from_pylist(
        [{"example_id": k, "task_key": k[0], "domain": None, "reward": v} for k, v in rewards.items()]
    )


EXAMPLES = {
    (ROUTER_SAMPLES.name, WEEK): rows(hard1=0.0, hard2=0.0, hard3=0.2, easy1=1.0, easy2=1.0),
    (ROUTER_SAMPLES.name, WEEK.shift(-4)): rows(easy3=1.0),
    (SFT_EXAMPLES.name, WEEK): rows(hardly=0.85, easily=0.95, enough=0.6, unjudged=None),
    (PREFERENCE_PAIRS.name, WEEK.shift(-2)): rows(pair=None).select(["example_id", "task_key"]),
}


def weigh(**settings: float) -> tuple[Weights, int]:
    snapshot, _counts = build_snapshot(WEEK, EXAMPLES, NOBODY)
    weighed, counts = weigh_snapshot(snapshot, EXAMPLES, DatasetSettings(**settings))  # type: ignore[arg-type]
    assert DATASET_SNAPSHOT.violations(DATASET_SNAPSHOT.conform(weighed)) == []
    found = {(row["table_name"], row["example_id"]): row["weight"] for row in weighed.to_pylist()}
    return found, counts["low_quality_count"]


def test_with_the_defaults_every_example_weighs_one_and_none_is_dropped() -> None:
    weights, dropped = weigh()
    assert (set(weights.values()), len(weights), dropped) == ({1.0}, 11, 0)


def test_an_example_weighs_half_after_its_half_life_across_the_end_of_a_year() -> None:
    weights, _dropped = weigh(age_half_life_weeks=2)
    assert weights[ROUTER_SAMPLES.name, "easy1"] == 1.0
    assert weights[PREFERENCE_PAIRS.name, "pair"] == 0.5
    assert weights[ROUTER_SAMPLES.name, "easy3"] == 0.25
    assert age_weight(26, None) == 1.0


def test_r14_a_hard_good_example_weighs_more_than_an_easy_better_one() -> None:
    assert curriculum_weight(0.9, 1.0, 0.85) > curriculum_weight(0.2, 1.0, 0.95)
    weights, _dropped = weigh(difficulty_strength=1)
    assert weights[SFT_EXAMPLES.name, "hardly"] > weights[SFT_EXAMPLES.name, "easily"]


def test_r14_an_example_of_quality_060_is_dropped_at_a_floor_of_07_and_one_nobody_judged_is_not() -> None:
    weights, dropped = weigh(sft_quality_floor=0.7)
    assert {name for table, name in weights if table == SFT_EXAMPLES.name} == {"hardly", "easily", "unjudged"}
    assert dropped == 1
    assert len(weights) == 10


def test_a_failure_weighs_in_a_sample_as_much_as_a_success_of_the_same_task() -> None:
    weights, _dropped = weigh(difficulty_strength=1)
    assert weights[ROUTER_SAMPLES.name, "hard1"] == weights[ROUTER_SAMPLES.name, "hard3"]
    assert weights[ROUTER_SAMPLES.name, "hard1"] > weights[ROUTER_SAMPLES.name, "easy1"] > 1


def test_difficulty_is_shrunk_to_the_domain_and_does_not_depend_on_the_order() -> None:
    trials = [("once", "d", 0.0), *(("often", "d", 0.0) for _ in range(40)), *(("fine", "e", 1.0) for _ in range(41))]
    found = difficulty_by_task(trials)
    assert 0 < found["fine"] < found["once"] < found["often"] < 1
    assert difficulty_by_task(reversed(trials)) == found
    assert difficulty_by_task([]) == {}
    assert difficulty_by_task([("a", None, 0.25)]) == {"a": pytest.approx(0.75)}
