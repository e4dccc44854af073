"""The prior: what gone rows said of the linear half is kept to the second order, in the same bytes whatever their order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from memloop_assets.errors import BadCheckpoint
from memloop_assets.routing.controls import fit_shuffled_control, fit_twin
from memloop_assets.routing.logistic import Pull, fit_logistic
from memloop_assets.routing.prior import Leaving, Prior, absorb
from memloop_assets.routing.prior_files import erase_prior, find_priors, load_prior, save_prior
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import fit_router
from memloop_tests.routing.test_training import COSTS, sample, table
from memloop_tests.routing.test_training import PLAIN as WITHOUT_PRIOR

PLAIN = replace(WITHOUT_PRIOR, prior_rank=1)

SUBJECTS = ("tax refund late", "prime proof lemma", "rust borrow error", "poem about rain")
GOOD = {"large": (0.9, 0.8, 0.7, 0.3), "small": (0.8, 0.2, 0.4, 0.9)}
WHOLE = 400
"""More directions than any prior here has rows."""


def week_of(number: int, count: int = 160) -> list[dict[str, Any]]:
    """Trials of one subject, a few words of it in each, one arm each."""
    random = np.random.default_rng(number)
    rows = []
    for place in range(count):
        arm = str(random.choice(["large", "small"]))
        words = random.choice(SUBJECTS[number].split(), 2)
        reward = float(random.random() < GOOD[arm][number])
        text = f"{words[0]} {words[1]} case {place % 13}"
        rows.append(sample(text, arm, reward, example_id=f"{number} {place:04}", propensity=0.5))
    return rows


def taken_up(rows: list[dict[str, Any]], router: Router, before: Prior | None = None, rank: int = WHOLE) -> Prior:
    return absorb(before, router, Leaving(table(rows), ("2026-W02",), "suite"), rank=rank, propensity_floor=0.05)


def chances(router: Router, subjects: range = range(4)) -> np.ndarray:
    texts = [f"{word} case 5" for number in subjects for word in SUBJECTS[number].split()]
    found = router.featuriser.transform_all(texts)
    return router.linear.chance_table(found, [None] * len(found))


def random_pull(count: int, rank: int) -> Pull:
    random = np.random.default_rng(3)
    factor = random.normal(size=(rank, count + 1)).astype(np.float32)
    centre, slope = random.normal(size=(2, count + 1))
    return Pull(centre, slope, random.random(count + 1) + 0.1, factor)


def test_a_pull_without_rows_is_solved_as_its_linear_equations_are() -> None:
    pull, penalty = random_pull(5, 2), 0.7
    found, intercept = fit_logistic(sparse.csr_array((1, 5)), np.array([0.5]), np.array([1e-12]), penalty, pull)
    curvature = np.diag(pull.diagonal) + pull.factor.T.astype(np.float64) @ pull.factor
    ridge = np.diag([penalty] * 5 + [0.0])
    expected = np.linalg.solve(curvature + ridge, curvature @ pull.centre - pull.slope)
    np.testing.assert_allclose(np.append(found, intercept), expected, atol=1e-7)


def test_rows_replaced_by_the_prior_at_the_full_fit_leave_it_where_it_was() -> None:
    old, new = week_of(0), week_of(1)
    full = fit_router(table(old + new), COSTS, PLAIN)
    kept = fit_router(table(new), COSTS, PLAIN, taken_up(old, full))
    assert kept.featuriser.terms == full.featuriser.terms
    np.testing.assert_allclose(kept.featuriser.idf, full.featuriser.idf, rtol=1e-12)
    np.testing.assert_allclose(chances(kept), chances(full), atol=1e-6)
    np.testing.assert_allclose(kept.term_variances, full.term_variances, rtol=1e-3)
    assert np.abs(chances(fit_router(table(new), COSTS, PLAIN)) - chances(full)).max() > 0.2


@pytest.mark.parametrize(("rank", "off_by"), [(WHOLE, 0.03), (24, 0.03)])
def test_week_after_week_the_prior_stays_near_the_refit_on_everything(rank: int, off_by: float) -> None:
    weeks = [week_of(number) for number in range(4)]
    router, prior = fit_router(table(weeks[0]), COSTS, PLAIN), None
    for number in range(1, 4):
        prior = taken_up(weeks[number - 1], router, prior, rank)
        router = fit_router(table(weeks[number]), COSTS, PLAIN, prior)
    full = fit_router(table([row for rows in weeks for row in rows]), COSTS, PLAIN)
    assert prior is not None
    assert np.abs(chances(router) - chances(full)).mean() < off_by
    assert np.abs(chances(fit_router(table(weeks[3]), COSTS, PLAIN)) - chances(full)).mean() > 5 * off_by


def test_the_trees_speak_by_the_share_of_the_trials_that_they_have_seen() -> None:
    old, new = week_of(0, 300), week_of(1, 100)
    router = fit_router(table(old), COSTS, PLAIN)
    assert router.forest_share == 0.5
    kept = fit_router(table(new), COSTS, PLAIN, taken_up(old, router))
    assert kept.forest_share == pytest.approx(0.5 * 100 / 400)


def test_the_twin_is_fitted_with_the_prior_and_the_shuffled_control_without() -> None:
    old, new = week_of(0), table(week_of(1))
    prior = taken_up(old, fit_router(table(old), COSTS, PLAIN))
    router = fit_router(new, COSTS, PLAIN, prior)
    assert fit_twin(router, new, PLAIN, prior, seed=0).version == router.version
    assert fit_shuffled_control(router, new, PLAIN, seed=3).forest_share == 0.5 > router.forest_share


def test_few_directions_keep_the_diagonal_exact() -> None:
    rows = week_of(0)
    router = fit_router(table(rows), COSTS, PLAIN)
    whole, few, none = (taken_up(rows, router, rank=rank) for rank in (WHOLE, 5, 0))
    for arm in COSTS:
        assert [one.pulls[arm].factor.shape[0] for one in (few, none)] == [5, 0]
        for less in (few, none):
            np.testing.assert_allclose(less.pulls[arm].bends(), whole.pulls[arm].bends(), rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(less.pulls[arm].slope, whole.pulls[arm].slope, atol=1e-12)
    step = np.random.default_rng(0).normal(size=whole.pulls["small"].centre.size)
    exact = whole.pulls["small"].bend(step)
    off = [np.linalg.norm(one.pulls["small"].bend(step) - exact) for one in (few, none)]
    assert off[0] < off[1]


def test_a_term_that_is_gone_is_held_at_nothing() -> None:
    rows = week_of(0)
    prior = taken_up(rows, fit_router(table(rows), COSTS, PLAIN))
    terms = prior.featuriser.terms
    (fewer,) = (prior.over(terms[1:], ())[arm].pull for arm in ("small",))
    pull = prior.pulls["small"]

    def told(by: Pull, where: np.ndarray) -> float:
        away = where - by.centre
        return float(by.slope @ away + 0.5 * by.bend(away) @ away)

    one, other = np.random.default_rng(0).normal(size=(2, pull.centre.size - 1))
    expected = told(pull, np.append(0.0, one)) - told(pull, np.append(0.0, other))
    assert told(fewer, one) - told(fewer, other) == pytest.approx(expected, rel=1e-6)


def test_a_faded_prior_is_that_of_rows_that_weigh_less() -> None:
    rows = week_of(0)
    router = fit_router(table(rows), COSTS, PLAIN)
    light = taken_up([{**row, "weight": 0.25} for row in rows], router)
    faded = taken_up(rows, router).faded(0.25)
    assert faded.trial_weight == pytest.approx(light.trial_weight)
    for arm in COSTS:
        np.testing.assert_allclose(faded.pulls[arm].slope, light.pulls[arm].slope, atol=1e-12)
        np.testing.assert_allclose(faded.pulls[arm].bends(), light.pulls[arm].bends(), rtol=1e-5)
        np.testing.assert_allclose(faded.domain_sums[arm], light.domain_sums[arm], rtol=1e-12)


def test_what_arms_earned_per_domain_is_kept_exactly() -> None:
    rows = [{**row, "domain": SUBJECTS[number]} for number in range(2) for row in week_of(number)]
    old, new = rows[:160], rows[160:]
    full = fit_router(table(rows), COSTS, PLAIN)
    kept = fit_router(table(new), COSTS, PLAIN, taken_up(old, fit_router(table(old), COSTS, PLAIN)))
    assert kept.linear.domains == full.linear.domains
    np.testing.assert_allclose(kept.linear.domain_means, full.linear.domain_means, rtol=1e-9)
    np.testing.assert_allclose(kept.linear.domain_shares, full.linear.domain_shares, rtol=1e-9)


def test_an_arm_that_no_row_tells_of_any_more_keeps_what_it_was_known_for() -> None:
    old = week_of(0)
    new = [row for row in week_of(1) if row["arm"] == "small"]
    router = fit_router(table(old), COSTS, PLAIN)
    kept = fit_router(table(new), COSTS, PLAIN, taken_up(old, router))
    place = kept.arms.index("large")
    np.testing.assert_allclose(chances(kept, range(1))[:, place], chances(router, range(1))[:, place], atol=0.02)


def test_the_same_rows_in_any_order_give_the_same_bytes_also_after_a_round_through_the_disk(tmp_path: Path) -> None:
    rows = week_of(0)
    router = fit_router(table(rows), COSTS)
    prior = taken_up(rows, router, rank=7)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = Leaving(table(rows).take(pa.array(order)), ("2026-W02",), "suite")
    assert absorb(None, router, shuffled, rank=7, propensity_floor=0.05).version == prior.version
    loaded = load_prior(tmp_path, save_prior(prior, tmp_path))
    assert loaded.version == prior.version
    again, first = (fit_router(table(week_of(1)), COSTS, prior=one).version for one in (loaded, prior))
    assert again == first


def test_priors_are_found_by_their_weeks_and_one_that_is_gone_or_altered_is_refused(tmp_path: Path) -> None:
    rows = week_of(0)
    router = fit_router(table(rows), COSTS)
    prior = taken_up(rows, router, rank=3)
    other = replace(prior, weeks=("2026-W05",))
    versions = [save_prior(one, tmp_path) for one in (prior, other)]
    assert find_priors(tmp_path, ["2026-W02"]) == versions[:1]
    assert find_priors(tmp_path, ["2026-W03"]) == []
    (tmp_path / versions[1] / "prior.json").write_text("{")
    assert find_priors(tmp_path, ["2026-W02"]) == sorted(versions), "of which it cannot be told"
    with pytest.raises(BadCheckpoint, match="memloop backfill"):
        load_prior(tmp_path, versions[1])
    erase_prior(tmp_path, versions[0])
    with pytest.raises(BadCheckpoint, match="there is none"):
        load_prior(tmp_path, versions[0])
