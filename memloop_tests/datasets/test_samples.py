"""Router samples: every trial with one arm and a known reward, good or bad; the rest is counted by its reason."""

import pytest

from memloop_assets.datasets.samples import build_router_samples
from memloop_assets.datasets.tables import ROUTER_SAMPLES
from memloop_assets.tasks import task_key
from memloop_tests.datasets.graded import grades, trajectories, trajectory

NOBODY: frozenset[str] = frozenset()


def test_a_trial_carries_what_was_logged() -> None:
    rows, counts = build_router_samples(trajectories(trajectory("a")), grades(a="MEDIUM"), NOBODY)
    assert rows.to_pylist() == [
        {
            "week": "2026-W12",
            "example_id": "a",
            "task_key": task_key("Cancel my order"),
            "task_text": "Cancel my order",
            "domain": "billing",
            "arm": "small-model",
            "reward": 1.0,
            "cost_usd": 0.002,
            "latency_ms": 900.0,
            "propensity": 0.8,
            "label_source": "user",
            "quality_tier": "MEDIUM",
            "near_duplicate_of": None,
            "asker": None,
        }
    ]
    assert counts == {"holdout_excluded_count": 0}
    assert ROUTER_SAMPLES.violations(ROUTER_SAMPLES.conform(rows)) == []


def test_a_sample_tells_who_asked_without_naming_anybody() -> None:
    given = trajectories(
        trajectory("a", user_id="ann", user_group=17, session_id="one"),
        trajectory("b", session_id="one"),
        trajectory("c", session_id="one"),
        trajectory("d", session_id="two"),
        trajectory("e", user_group=0),
    )
    rows, _counts = build_router_samples(given, grades(**dict.fromkeys("abcde", "HIGH")), NOBODY)
    of_user, first, second, other, of_group = rows["asker"].to_pylist()
    assert (of_user, of_group) == ("u17", "u0")
    assert first == second != other
    assert first.startswith("s")
    assert "one" not in first


def test_failures_low_grades_and_trials_without_cost_or_propensity_teach_too() -> None:
    bare = dict.fromkeys(("domain", "cost_usd", "latency_ms", "propensity", "label_source"))
    given = trajectories(trajectory("a", reward=0.0, is_known_failure=True), trajectory("b", **bare))
    rows, counts = build_router_samples(given, grades(a="LOW", b="LOW"), NOBODY)
    assert rows["reward"].to_pylist() == [0.0, 1.0]
    assert counts == {"holdout_excluded_count": 0}
    assert ROUTER_SAMPLES.violations(ROUTER_SAMPLES.conform(rows)) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"origin": "benchmark"}, "other_origin_count"),
        ({"origin": "probe"}, "other_origin_count"),
        ({"origin": "replay"}, "other_origin_count"),
        ({"task_text": ""}, "no_task_count"),
        ({"arm": None, "arm_count": 0}, "no_arm_count"),
        ({"arm": None, "arm_count": 2}, "several_arms_count"),
        ({"reward": None}, "no_reward_count"),
        ({"reward": None, "arm": None, "arm_count": 0}, "no_arm_count"),
    ],
)
def test_what_is_no_trial_is_left_out_and_counted(changes: dict[str, object], reason: str) -> None:
    given = trajectories(trajectory("bad", **changes), trajectory("good"))
    rows, counts = build_router_samples(given, grades(bad="HIGH", good="HIGH"), NOBODY)
    assert rows["example_id"].to_pylist() == ["good"]
    assert counts == {"holdout_excluded_count": 0, reason: 1}


def test_every_trajectory_is_a_sample_or_counted() -> None:
    kinds = [{}, {"origin": "probe"}, {"task_text": ""}, {"arm": None}, {"reward": None}, {"arm": None, "arm_count": 0}]
    given = [trajectory(f"t{number}", **kinds[number % len(kinds)]) for number in range(50)]  # type: ignore[arg-type]  # changes of columns
    holdout = frozenset({task_key("Cancel my order")})
    given += [trajectory(f"u{number}", "Something else") for number in range(7)]
    graded = grades(**{str(row["trajectory_id"]): "HIGH" for row in given})
    for held in (NOBODY, holdout):
        rows, counts = build_router_samples(trajectories(*given), graded, held)
        assert rows.num_rows + sum(counts.values()) == 57
    assert (rows.num_rows, counts) == (7, {"holdout_excluded_count": 42, "no_task_count": 8})


def test_a_week_without_trajectories_gives_a_table_without_rows() -> None:
    rows, counts = build_router_samples(trajectories(), grades(), NOBODY)
    assert ROUTER_SAMPLES.conform(rows).num_rows == 0
    assert counts == {"holdout_excluded_count": 0}


def test_a_task_that_nearly_repeats_another_of_the_week_is_marked_and_kept() -> None:
    task = "Please send the money for the parcel that never arrived back to my card"
    given = trajectories(trajectory("a", task), trajectory("b", f"Hi! {task}"), trajectory("c", "Where is it?"))
    rows, _counts = build_router_samples(given, grades(a="HIGH", b="HIGH", c="HIGH"), NOBODY)
    keys = {row["example_id"]: row["task_key"] for row in rows.to_pylist()}
    marks = {row["example_id"]: row["near_duplicate_of"] for row in rows.to_pylist()}
    first, second = sorted("ab", key=lambda name: keys[name])
    assert marks == {first: None, second: keys[first], "c": None}
