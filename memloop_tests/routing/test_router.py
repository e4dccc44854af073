"""The choice rule, case by case, on routers whose predictions are written down by hand."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import HAND_NAMES
from memloop_assets.routing.linear import sigmoid
from memloop_assets.routing.router import Router, single_arm_router
from memloop_tests.routing.written import COSTS, KNOWN, router_predicting


@pytest.mark.parametrize(
    ("small", "medium", "large", "taken"),
    [
        (0.79, 0.79, 0.80, "small"),  # both within delta: the cheapest
        (0.70, 0.79, 0.80, "medium"),  # small is too weak
        (0.70, 0.70, 0.80, "large"),  # nothing cheaper is good enough
        (0.95, 0.99, 0.80, "small"),  # better and cheaper: cheap decides among the good enough
        (0.05, 0.05, 0.06, "large"),  # nobody reaches the floor
        (0.05, 0.30, 0.06, "medium"),  # the reference arm is under the floor, another is not
    ],
)
def test_the_cheapest_arm_that_is_good_enough_serves(small: float, medium: float, large: float, taken: str) -> None:
    assert router_predicting({"small": small, "medium": medium, "large": large}).choose(KNOWN).arm == taken


def test_an_arm_exactly_delta_below_the_reference_arm_is_good_enough() -> None:
    rewards = {"small": 0.5, "large": 0.75}
    assert router_predicting(rewards, delta=0.25).choose(KNOWN).arm == "small"
    assert router_predicting(rewards, delta=0.25 - 1e-9).choose(KNOWN).arm == "large"


def test_among_arms_of_one_price_the_better_predicted_serves_then_the_earlier_name() -> None:
    router = router_predicting({"small": 0.8, "medium": 0.9, "large": 0.8})
    free = replace(router, costs_usd=np.zeros(3))
    assert free.choose(KNOWN).arm == "medium"
    assert free.choose(KNOWN, arms=["small", "large"]).arm == "large"


def test_a_novel_text_falls_back_to_the_reference_arm_and_says_why() -> None:
    choice = router_predicting({"small": 0.9, "large": 0.8}).choose("cat quux zork")
    assert (choice.arm, choice.is_fallback) == ("large", True)
    assert choice.reason == "33% of the words are known, under the limit of 50%: the reference arm serves"


def test_half_of_the_words_known_is_enough_at_a_limit_of_half() -> None:
    assert router_predicting({"small": 0.9, "large": 0.8}).choose("cat quux").is_fallback is False


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_an_empty_text_falls_back_even_where_any_novelty_is_allowed(text: str) -> None:
    choice = router_predicting({"small": 0.9, "large": 0.8}, known_word_limit=0.0).choose(text)
    assert (choice.arm, choice.is_fallback, choice.reason) == (
        "large",
        True,
        "the text is empty: the reference arm serves",
    )


def test_under_the_floor_the_choice_is_a_fallback_and_says_so() -> None:
    choice = router_predicting({"small": 0.05, "large": 0.06}).choose(KNOWN)
    assert choice.is_fallback is True
    assert choice.reason == "no arm is predicted to reach the floor of 0.100: the reference arm serves"


def test_a_choice_carries_its_numbers_and_the_version_of_its_policy() -> None:
    router = router_predicting({"small": 0.79, "large": 0.80})
    choice = router.choose(KNOWN)
    assert choice.reason == (
        "cheapest of 2 good enough: 0.790 against large's 0.800 minus 0.020, at 0.001 USD, not 0.02"
    )
    assert choice.predicted_reward == pytest.approx(0.79)
    assert (choice.expected_cost_usd, choice.propensity) == (0.001, 1.0)
    assert choice.policy_version == router.version


def test_only_the_arms_available_now_are_chosen_from() -> None:
    router = router_predicting({"small": 0.79, "medium": 0.79, "large": 0.80})
    assert router.choose(KNOWN, arms=["medium", "large"]).arm == "medium"


def test_without_the_reference_arm_the_best_predicted_of_the_others_serves() -> None:
    choice = router_predicting({"small": 0.6, "medium": 0.7, "large": 0.8}).choose(KNOWN, arms=["small", "medium"])
    assert (choice.arm, choice.is_fallback) == ("medium", True)
    assert choice.reason == "the reference arm large is not available; best predicted of the others: 0.700"


@pytest.mark.parametrize(("arms", "culprit"), [(["huge"], "'huge' is not known"), ([], "none given")])
def test_arms_that_cannot_be_chosen_are_refused(arms: list[str], culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit) as caught:
        router_predicting({"small": 0.6, "large": 0.8}).choose(KNOWN, arms=arms)
    assert caught.value.fix == "choose among large, small"


def with_linear(router: Router, **changed: Any) -> Router:
    return replace(router, linear=replace(router.linear, **changed))


def test_predictions_stay_between_0_and_1() -> None:
    router = with_linear(router_predicting({"small": 0.5, "large": 0.5}), intercepts=np.array([1e6, -1e6]))
    large, small = router.predict_rewards(KNOWN).tolist()
    assert 0.0 <= small < 1e-9
    assert 1.0 - 1e-9 < large <= 1.0


def test_the_logit_of_a_reward_is_linear_in_the_features() -> None:
    router = router_predicting({"small": 0.1, "large": 0.2})
    hand_weights = np.zeros((len(HAND_NAMES), 2))
    hand_weights[HAND_NAMES.index("words_log"), 0] = 0.25
    sharp = with_linear(router, term_weights=np.array([[0.5, 0.125]]), hand_weights=hand_weights)
    # the one known word has weight 1 after normalising; arms are sorted: large, small
    expected = router.linear.intercepts + np.array([0.5 + 0.25 * np.log1p(1), 0.125])
    assert sharp.predict_rewards(KNOWN).tolist() == pytest.approx(sigmoid(expected).tolist())


def test_a_named_domain_moves_the_prediction_and_a_strange_one_does_not() -> None:
    router = router_predicting({"small": 0.5, "large": 0.5})
    none = np.zeros((1, 2))
    named = with_linear(
        router, domains=("refunds",), domain_weights=np.array([[1.0, -1.0]]), domain_means=none, domain_shares=none
    )
    assert named.predict_rewards(KNOWN, "refunds").tolist() == pytest.approx(sigmoid(np.array([1.0, -1.0])).tolist())
    for domain in (None, "travel"):
        assert named.predict_rewards(KNOWN, domain).tolist() == router.predict_rewards(KNOWN).tolist()
    assert named.choose(KNOWN, domain="refunds").arm == "large"
    assert named.choose(KNOWN).arm == "small"
    table = named.predict_reward_table([KNOWN, KNOWN], ["refunds", None])
    assert table.tolist() == [named.predict_rewards(KNOWN, one).tolist() for one in ("refunds", None)]


def test_what_arms_earned_in_a_domain_takes_its_share_of_the_prediction() -> None:
    router = router_predicting({"small": 0.5, "large": 0.5})
    means, shares = np.array([[0.9, 0.1]]), np.array([[0.5, 0.25]])
    named = with_linear(
        router, domains=("refunds",), domain_weights=np.zeros((1, 2)), domain_means=means, domain_shares=shares
    )
    assert named.predict_rewards(KNOWN, "refunds").tolist() == pytest.approx([0.7, 0.4])
    assert named.predict_rewards(KNOWN, "travel").tolist() == pytest.approx([0.5, 0.5])
    asked = ["travel", "refunds", None]
    singly = b"".join(named.predict_rewards(KNOWN, domain).tobytes() for domain in asked)
    assert named.predict_reward_table([KNOWN] * 3, asked).tobytes() == singly


def test_calibration_stretches_and_shifts_the_logit_of_each_arm() -> None:
    router = router_predicting({"small": 0.4, "large": 0.8})
    calibrated = replace(router, slopes=np.array([2.0, 1.0]), shifts=np.array([0.5, 0.0]))
    expected = sigmoid(np.array([2.0, 1.0]) * router.linear.intercepts + [0.5, 0.0])
    assert calibrated.predict_rewards(KNOWN).tolist() == pytest.approx(expected.tolist())


def test_other_prices_change_the_choice_and_no_prediction() -> None:
    router = router_predicting({"small": 0.8, "large": 0.8})
    dearer = router.priced({"small": 0.5})
    assert (router.choose(KNOWN).arm, dearer.choose(KNOWN).arm) == ("small", "large")
    assert dearer.predict_rewards(KNOWN).tolist() == router.predict_rewards(KNOWN).tolist()
    assert dearer.version != router.version


def test_a_table_of_predictions_holds_the_same_bits_as_single_ones() -> None:
    router = with_linear(router_predicting({"small": 0.1, "large": 0.2}), term_weights=np.array([[1 / 3, 1 / 7]]))
    texts = ["cat", "", "a cat and a dog\n" * 9]
    table = router.predict_reward_table(texts)
    assert table.tobytes() == b"".join(router.predict_rewards(text).tobytes() for text in texts)
    assert router.predict_reward_table([]).shape == (0, 2)


def test_the_single_arm_policy_always_takes_its_arm() -> None:
    policy = single_arm_router("large", COSTS, {"large": 0.8})
    for text in ("", "anything at all", KNOWN):
        choice = policy.choose(text)
        assert (choice.arm, choice.is_fallback) == ("large", False)
        assert choice.predicted_reward == pytest.approx(0.8)
        assert (choice.expected_cost_usd, choice.reason) == (0.02, "this policy always takes its one arm")
    assert policy.choose(KNOWN, arms=["small", "large"]).arm == "large"


def test_the_single_arm_policy_without_its_arm_takes_the_best_of_the_others() -> None:
    policy = single_arm_router("large", COSTS, {"large": 0.8, "medium": 0.7, "small": 0.6})
    assert policy.choose(KNOWN, arms=["small", "medium"]).arm == "medium"


def test_a_single_arm_policy_for_an_arm_without_a_price_is_refused() -> None:
    with pytest.raises(BadInput, match="reference arm 'huge' is not one of its arms"):
        single_arm_router("huge", COSTS)


def test_a_router_with_numbers_that_are_not_finite_is_refused() -> None:
    with pytest.raises(BadInput, match="not finite"):
        router_predicting({"small": float("nan"), "large": 0.8})


def test_a_router_whose_arrays_do_not_fit_is_refused() -> None:
    with pytest.raises(BadInput, match="do not fit"):
        replace(router_predicting({"small": 0.5, "large": 0.8}), costs_usd=np.zeros(3))


DOMAIN_ARRAYS = ("domain_weights", "domain_means", "domain_shares")


def test_whatever_shapes_a_choice_changes_the_version() -> None:
    router = router_predicting({"small": 0.5, "large": 0.8})
    same = router_predicting({"small": 0.5, "large": 0.8})
    others = [
        replace(router, costs_usd=router.costs_usd + 1),
        with_linear(router, intercepts=router.linear.intercepts + 1e-12),
        replace(router, rule=replace(router.rule, delta=0.03)),
        replace(router, featuriser=replace(router.featuriser, terms=("dog",))),
        replace(router, kind="single-arm"),
        replace(router, slopes=router.slopes * 2),
        replace(router, latencies_ms=np.array([1.0, 2.0])),
        replace(router, term_variances=router.term_variances + 1),
        with_linear(router, domains=("refunds",), **dict.fromkeys(DOMAIN_ARRAYS, np.zeros((1, 2)))),
    ]
    assert same.version == router.version
    assert len({router.version, *(other.version for other in others)}) == 1 + len(others)


def test_serving_loads_numpy_and_nothing_heavier() -> None:
    code = (
        "import sys, memloop_assets.featuriser, memloop_assets.routing.router, memloop_assets.routing.checkpoint\n"
        "heavy = {'dagster', 'pandas', 'pyarrow', 'sklearn', 'scipy', 'sqlalchemy', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), 'numpy' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[] True"
