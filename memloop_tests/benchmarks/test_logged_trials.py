"""What a log of single-route trials may hold, and what it can say of a choice."""

from dataclasses import replace

import numpy as np
import pytest

from memloop_assets.benchmarks.logged_trials import LoggedTrials, probabilities_of
from memloop_assets.errors import BadInput

TRIALS = LoggedTrials(
    ("t1", "t2", "t1"), ("a", "b", "a"), [0.9, 0.1, 1.0], [1.0, 0.0, 0.5], costs_usd=[0.01, 0.02, np.nan]
)


def test_arms_are_those_served_unless_they_are_named() -> None:
    assert TRIALS.arms == ("a", "b")
    assert TRIALS.served_index.tolist() == [0, 1, 0]
    assert TRIALS.clusters.tasks.group_count == 2
    assert np.isnan(TRIALS.latencies_ms).all()


def test_every_task_was_asked_by_somebody_else_unless_it_is_told_who_asked() -> None:
    assert TRIALS.clusters.askers.of_row.tolist() == [0, 1, 0]
    told = replace(TRIALS, askers=("ann", "ann", "bob"))
    assert told.clusters.askers.of_row.tolist() == [0, 0, 1]
    with pytest.raises(BadInput, match="3 tasks and 2 askers"):
        replace(TRIALS, askers=("ann", "bob"))


def test_a_choice_is_supported_where_it_was_served_or_could_have_been() -> None:
    chooses_a, chooses_b = (probabilities_of(TRIALS, (arm,) * 3) for arm in "ab")
    assert TRIALS.supported(chooses_a, 0.01).tolist() == [1.0, 1.0, 1.0]
    # trial 3 left nothing to b
    assert TRIALS.supported(chooses_b, 0.01).tolist() == [1.0, 1.0, 0.0]
    # at 0.2 neither the trial that served b nor what the first one left it is enough
    assert TRIALS.supported(chooses_b, 0.2).tolist() == [0.0, 0.0, 0.0]


def test_an_arm_that_never_served_is_not_supported() -> None:
    trials = LoggedTrials(("t1", "t2"), ("a", "b"), [0.5, 0.5], [1.0, 0.0], arms=("a", "b", "new"))
    assert trials.supported(probabilities_of(trials, ("new", "a")), 0.01).tolist() == [0.0, 1.0]


def test_utility_is_reward_minus_weighted_cost_by_the_reference_arms() -> None:
    assert TRIALS.utilities(0.1, 0.02)[:2].tolist() == [1.0 - 0.05, 0.0 - 0.1]
    assert np.isnan(TRIALS.utilities(0.1, 0.02)[2])
    with pytest.raises(BadInput, match="reference cost"):
        TRIALS.utilities(0.1, 0.0)


def test_a_target_is_names_or_a_distribution() -> None:
    assert probabilities_of(TRIALS, ("b", "a", "a")).tolist() == [[0, 1], [1, 0], [1, 0]]
    given = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])
    assert probabilities_of(TRIALS, given) is given


@pytest.mark.parametrize(
    ("target", "culprit"),
    [
        (("a", "b"), "2 choices for 3 trials"),
        (("a", "b", "z"), "'z', which is not among the arms"),
        (np.full((3, 2), 0.4), "sum to 1"),
        (np.array([[1.5, -0.5]] * 3), "not negative"),
        (np.full((3, 3), 1 / 3), "over 2 arms"),
        (np.full((3, 2), np.nan), "one distribution"),
    ],
)
def test_a_target_of_another_kind_is_refused(target: object, culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit):
        probabilities_of(TRIALS, target)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"propensities": [0.5, 0.0]}, "trial 1 has propensity 0.0"),
        ({"propensities": [np.nan, 0.5]}, "trial 0 has propensity nan"),
        ({"propensities": [0.5, 1.1]}, "trial 1 has propensity 1.1"),
        ({"rewards": [1.0, np.nan]}, "trial 1 has no finite reward"),
        ({"rewards": [1.0]}, "one of each per trial"),
        ({"served": ("a",)}, "one of each per trial"),
        ({"arms": ("a",)}, "arm 'b' served but is not among the arms"),
        ({"arms": ("a", "b", "b")}, "named twice"),
        ({"task_keys": (), "served": (), "propensities": [], "rewards": []}, "at least one trial"),
    ],
)
def test_what_cannot_be_a_log_is_refused(change: dict, culprit: str) -> None:
    log = {"task_keys": ("t", "u"), "served": ("a", "b"), "propensities": [0.5, 0.5], "rewards": [1.0, 0.0]}
    with pytest.raises(BadInput, match=culprit):
        LoggedTrials(**(log | change))
