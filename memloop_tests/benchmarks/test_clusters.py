"""Standard errors over trials that depend on each other, against closed forms and a simulation with known truth."""

import math
import re

import numpy as np
import pytest

from memloop_assets.benchmarks.admissibility import admissible
from memloop_assets.benchmarks.clusters import Clusters, effective_count, jackknife_variance, student_quantile
from memloop_assets.benchmarks.group_bootstrap import group_rows
from memloop_assets.benchmarks.logged_trials import LoggedTrials
from memloop_assets.benchmarks.offpolicy import Estimation, OffPolicyEvaluation, evaluate_difference

LENGTH = 500


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


def test_the_variance_over_groups_is_that_of_leaving_each_out() -> None:
    rng = np.random.default_rng(0)
    values, keys = rng.normal(size=60), [str(group) for group in rng.integers(0, 7, size=60)]
    left_out = [values[np.array(keys) != key].mean() for key in sorted(set(keys))]
    expected = 6 / 7 * float(((np.array(left_out) - values.mean()) ** 2).sum())
    assert jackknife_variance(centred(values), group_rows(keys)) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(jackknife_variance(centred(values), group_rows(["one"] * 60)))


def test_trials_of_groups_of_their_own_have_the_variance_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(size=50)
    alone = group_rows([str(row) for row in range(50)])
    assert Clusters(alone, alone).standard_error(centred(values)) == pytest.approx(values.std(ddof=1) / math.sqrt(50))


def test_a_grid_of_tasks_and_askers_has_the_variance_of_both() -> None:
    # r(task, asker) = a(task) + b(asker), each pair once: var(a)/A + var(b)/B, less that of as many independent trials.
    rng = np.random.default_rng(2)
    of_task, of_asker = rng.normal(size=40), rng.normal(size=30)
    values = (of_task[:, np.newaxis] + of_asker).ravel()
    keys = [[f"{kind}{number}" for number in np.indices((40, 30))[axis].ravel()] for axis, kind in enumerate("ta")]
    clusters = Clusters(group_rows(keys[0]), group_rows(keys[1]))
    expected = of_task.var(ddof=1) / 40 + of_asker.var(ddof=1) / 30 - values.var(ddof=1) / 1200
    assert clusters.standard_error(centred(values)) ** 2 == pytest.approx(expected, rel=1e-9)


def test_where_askers_hold_whole_tasks_they_alone_count_and_are_what_is_drawn() -> None:
    rng = np.random.default_rng(3)
    askers = np.repeat(np.arange(20), 10)
    values = rng.normal(size=20)[askers] + 0.1 * rng.normal(size=200)
    clusters = Clusters(group_rows([str(row) for row in range(200)]), group_rows([str(asker) for asker in askers]))
    alone = jackknife_variance(centred(values), clusters.askers)
    assert clusters.standard_error(centred(values)) ** 2 == pytest.approx(alone, rel=1e-3)
    assert clusters.coarser(centred(values)) is clusters.askers


def test_the_variance_is_never_less_than_over_tasks_or_askers_alone() -> None:
    # Pairs of task and asker that differ by sign within both: over tasks and over askers everything cancels.
    clusters = Clusters(group_rows(("t", "t", "u", "u")), group_rows(("a", "b", "a", "b")))
    assert clusters.standard_error(np.array([1.0, -1.0, -1.0, 1.0])) == 0.0


def test_effective_counts_and_quantiles_have_their_closed_forms() -> None:
    groups = group_rows(("a", "a", "b"))
    assert effective_count(np.array([1.0, 2.0, 1.0]), groups) == pytest.approx(16 / 10)
    assert effective_count(np.zeros(3), groups) == 0.0
    assert student_quantile(0.95, 1.0) == pytest.approx(math.tan(0.45 * math.pi))
    assert student_quantile(0.975, 2.0) == pytest.approx(0.95 * math.sqrt(2.0 / (1.0 - 0.95**2)))


def ask(fleet: str, rng: np.random.Generator, length: int) -> np.ndarray:
    """Return who asks each trial: users, the first of whom asks most or not, or sessions of four trials."""
    if fleet == "sessions":
        return np.arange(length) // 4
    users = rng.integers(1, {"one user asks 60 %": 201, "20 users": 21, "200 users": 201}[fleet], size=length)
    return np.where(rng.random(length) < 0.6, 0, users) if fleet == "one user asks 60 %" else users


def evaluate_equal(
    fleet: str, rng: np.random.Generator, *, is_told: bool = True, estimation: Estimation | None = None
) -> OffPolicyEvaluation:
    """Evaluate an equal challenger on LENGTH trials: an asker likes its arm more or less than the champion's, evenly."""
    askers = ask(fleet, rng, LENGTH)
    is_small = (rng.random(askers.max() + 1)[askers] if fleet == "sessions" else rng.random(LENGTH)) < 0.5
    liked = rng.choice((-0.3, 0.3), askers.max() + 1)[askers]
    rewards = rng.random(LENGTH) < 0.5 + np.where(is_small, liked, -liked)
    told = tuple(map(str, askers)) if is_told else ()
    served = tuple(np.where(is_small, "small", "large"))
    keys = tuple(map(str, range(LENGTH)))
    trials = LoggedTrials(
        keys, served, np.full(LENGTH, 0.5), rewards.astype(float), arms=("large", "small"), askers=told
    )
    return evaluate_difference(trials, ("small",) * LENGTH, ("large",) * LENGTH, estimation=estimation)


def test_an_interval_is_students_with_the_least_effective_sample_size_behind_it() -> None:
    found = evaluate_equal("20 users", np.random.default_rng(7))
    assert found.degrees == min(found.target.asker_ess, found.against.asker_ess) - 1.0
    assert 15.0 < found.degrees < 20.0
    reach = student_quantile(0.975, found.degrees) * found.doubly_robust.standard_error
    assert found.doubly_robust.upper - found.doubly_robust.value == pytest.approx(reach)


def test_the_bootstrap_draws_whole_askers_where_these_vary_more() -> None:
    drawn = Estimation(resamples=1000)
    found, deceived = (
        evaluate_equal("20 users", np.random.default_rng(7), is_told=is_told, estimation=drawn).doubly_robust
        for is_told in (True, False)
    )
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * found.standard_error, rel=0.15)
    assert found.upper - found.lower > 1.5 * (deceived.upper - deceived.lower)


@pytest.mark.parametrize("fleet", ["200 users", "sessions"])
def test_admitted_intervals_hold_the_truth_whoever_asks(fleet: str) -> None:
    rng = np.random.default_rng(5)
    found = [evaluate_equal(fleet, rng) for _ in range(250)]
    let_in = [each.doubly_robust for each in found if admissible(each).is_admissible]
    assert len(let_in) > 240
    assert np.mean([each.lower <= 0.0 <= each.upper for each in let_in]) >= 0.92
    assert np.mean([each.value / each.standard_error > 1.68 for each in let_in]) <= 0.085  # nominal 0.05; 42 degrees


@pytest.mark.parametrize(
    ("fleet", "least", "users"), [("one user asks 60 %", 0.3, "[23]"), ("20 users", 0.1, "(1[6-9]|20)")]
)
def test_a_few_users_deceive_intervals_over_tasks_and_are_not_admitted(fleet: str, least: float, users: str) -> None:
    rng = np.random.default_rng(6)
    deceived = [evaluate_equal(fleet, rng, is_told=False).doubly_robust for _ in range(60)]
    assert np.mean([each.lower > 0.0 for each in deceived]) > least
    for _ in range(10):
        is_admissible, missing = admissible(evaluate_equal(fleet, rng))
        assert not is_admissible
        sentence = (
            rf"The live trials come from too few users: they weigh as much as those of {users} users \(or sessions"
        )
        assert any(re.match(sentence, each) for each in missing)
