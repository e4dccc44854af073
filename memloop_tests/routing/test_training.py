"""The fit: parity with scikit-learn's own pipeline, independence of row order, and the odd tables that logs produce."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from memloop_assets.errors import BadInput, BadSettings
from memloop_assets.featuriser import HAND_LIMIT, measure_text, read_terms
from memloop_assets.routing.checkpoint import load_checkpoint, save_checkpoint
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, best_single_arm, fit_router
from memloop_assets.tasks import task_key

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("example_id", "task_key", "task_text", "domain", "arm")]
    + [(name, pa.float64()) for name in ("reward", "cost_usd", "latency_ms", "propensity", "weight")]
)
COSTS = {"large": 0.02, "small": 0.001}
PLAIN = TrainingSettings(shrinkage_rows=0.0, min_arm_rows=1, min_task_count=1, memory_tasks=0)
TOPICS = {"refund": "please refund the order of my broken kettle", "proof": "prove that the sum of two primes is odd"}


def sample(text: str, arm: str, reward: float, **given_values: Any) -> dict[str, Any]:
    row = {"task_text": text, "task_key": task_key(text), "arm": arm, "reward": reward, "weight": 1.0}
    return {"domain": None, "cost_usd": None, "latency_ms": None, "propensity": None, **row, **given_values}


def table(rows: list[dict[str, Any]]) -> pa.Table:
    named = [{"example_id": f"example-{place:05}", **row} for place, row in enumerate(rows)]
    return pa.Table.from_pylist(named, schema=SCHEMA)


def two_topics(count: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """The small arm answers refunds as well as the large one and fails at proofs."""
    random = np.random.default_rng(seed)
    rows = []
    for place in range(count):
        topic = ("refund", "proof")[place % 2]
        arm = str(random.choice(["large", "small"]))
        reward = 0.1 if (topic, arm) == ("proof", "small") else 0.9
        rows.append(sample(f"{TOPICS[topic]} case {place % 17}", arm, reward, cost_usd=COSTS[arm], propensity=0.5))
    return rows


def their_pipeline(penalty: float) -> Any:
    """scikit-learn's own pipeline over the same terms and hand features."""
    hand = make_pipeline(
        FunctionTransformer(lambda texts: np.array([measure_text(text) for text in texts])),
        StandardScaler(),
        FunctionTransformer(lambda values: 0.3 * np.clip(values, -HAND_LIMIT, HAND_LIMIT)),
    )
    words = TfidfVectorizer(analyzer=read_terms, sublinear_tf=True)
    columns = ColumnTransformer([("words", words, 0), ("hand", hand, 0)], sparse_threshold=0.0)
    return make_pipeline(columns, LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12, max_iter=500))


def column(texts: list[str]) -> np.ndarray:
    """One column of texts, whose lone surrogates survive."""
    cells = np.empty((len(texts), 1), dtype=object)
    cells[:, 0] = texts
    return cells


WORDS = ("cat", "sat", "refund", "proof", "übermut", "3.5", "x+y=2?", "don't", "\n", "A. yes")
TEXTS = st.one_of(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.text(max_size=40))


@given(
    texts=st.lists(TEXTS.filter(read_terms), min_size=4, max_size=12, unique_by=task_key),
    rewards=st.lists(st.sampled_from([0.0, 1.0]), min_size=10, max_size=10).map(lambda some: [0.0, 1.0, *some]),
    unseen=TEXTS,
    penalty=st.sampled_from([0.5, 7.0]),
)
@settings(max_examples=40, deadline=None)
def test_served_numbers_are_those_of_scikit_learns_pipeline(
    texts: list[str], rewards: list[float], unseen: str, penalty: float
) -> None:
    rows = [sample(text, "only", reward) for text, reward in zip(texts, rewards, strict=False)]
    router = fit_router(table(rows), {}, replace(PLAIN, penalty=penalty))
    pipeline = their_pipeline(penalty).fit(column(texts), [row["reward"] for row in rows])
    asked = [*texts, unseen, "", "quux zork", "cat sat on the mat"]
    expected = pipeline.predict_proba(column(asked))[:, 1]
    np.testing.assert_allclose(router.predict_reward_table(asked)[:, 0], expected, rtol=0, atol=1e-9)


def test_weights_count_as_repeated_rows() -> None:
    rows = [sample(f"task {place} of the cat", "only", place / 9) for place in range(10)]
    weighted = [{**row, "weight": 3.0 if place < 4 else 1.0} for place, row in enumerate(rows)]
    repeated = rows + rows[:4] + rows[:4]
    texts = [row["task_text"] for row in rows]
    found = fit_router(table(weighted), {}, PLAIN).predict_reward_table(texts)
    np.testing.assert_allclose(found, fit_router(table(repeated), {}, PLAIN).predict_reward_table(texts), atol=1e-9)
    assert np.abs(found - fit_router(table(rows), {}, PLAIN).predict_reward_table(texts)).max() > 1e-3


def test_rows_of_weight_0_do_not_count() -> None:
    rows = two_topics(60)
    extra = sample("never seen", "ghost", 1.0, weight=0.0, example_id="zzz")
    assert fit_router(table([*rows, extra]), COSTS).version == fit_router(table(rows), COSTS).version


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = table(two_topics())
    version = fit_router(rows, COSTS).version
    for seed in range(3):
        shuffled = rows.take(np.random.default_rng(seed).permutation(rows.num_rows))
        assert fit_router(shuffled, COSTS).version == version


def test_the_router_saves_on_the_tasks_on_which_the_small_arm_is_as_good() -> None:
    rows = two_topics()
    router = fit_router(table(rows), COSTS)
    assert router.rule.reference_arm == "large"
    assert router.row_counts == tuple(sum(row["arm"] == arm for row in rows) for arm in ("large", "small"))
    assert router.choose(f"{TOPICS['refund']} case 99").arm == "small"
    assert router.choose(f"{TOPICS['proof']} case 99").arm == "large"


def test_a_fitted_router_survives_its_checkpoint(tmp_path: Any) -> None:
    router = fit_router(table(two_topics()), COSTS)
    loaded = load_checkpoint(tmp_path, save_checkpoint(router, tmp_path))
    for text in (*TOPICS.values(), "", "quux"):
        assert loaded.choose(text) == router.choose(text)


def test_an_arm_that_was_never_tried_is_predicted_at_the_global_mean() -> None:
    rows = two_topics()
    router = fit_router(table(rows), {**COSTS, "huge": 1.0})
    mean = np.mean([row["reward"] for row in rows])
    for text in TOPICS.values():
        assert router.predict_rewards(text)[router.arms.index("huge")] == pytest.approx(mean)
    assert router.row_counts[router.arms.index("huge")] == 0


def test_an_arm_tried_once_is_predicted_near_the_global_mean_whatever_the_text() -> None:
    rows = [*two_topics(), sample("prove that the cat is odd", "lucky", 1.0, cost_usd=0.0)]
    router = fit_router(table(rows), COSTS)
    place = router.arms.index("lucky")
    mean = np.mean([row["reward"] for row in rows])
    for text in TOPICS.values():
        assert router.predict_rewards(text)[place] == pytest.approx(1 / 21 * 1.0 + 20 / 21 * mean)
    assert router.rule.reference_arm == "large"


def test_an_arm_of_few_rows_is_predicted_the_same_for_every_text() -> None:
    tried = [{**row, "arm": "new"} for row in two_topics(20)]
    for count, is_flat in ((19, True), (20, False)):
        router = fit_router(table([*two_topics(), *tried[:count]]), COSTS)
        refund, proof = router.predict_reward_table([*TOPICS.values()])[:, router.arms.index("new")]
        assert bool(refund == proof) is is_flat


def test_an_arm_that_always_fails_breaks_nothing_and_is_never_chosen() -> None:
    rows = two_topics()
    broken = [sample(row["task_text"], "broken", 0.0, cost_usd=0.0) for row in rows]
    without, router = fit_router(table(rows), COSTS), fit_router(table(rows + broken), COSTS)
    assert router.rule.reference_arm == "large"
    for text in TOPICS.values():
        assert router.predict_rewards(text)[router.arms.index("broken")] < 0.1
        assert router.choose(text).arm == without.choose(text).arm


def test_equal_rewards_everywhere_leave_the_cheapest_arm() -> None:
    router = fit_router(table([{**row, "reward": 0.7} for row in two_topics()]), COSTS)
    np.testing.assert_allclose(router.predict_reward_table([*TOPICS.values(), ""]), 0.7, atol=1e-9)
    assert router.choose(TOPICS["proof"]).arm == "small"
    assert router.rule.reference_arm == "small"


@pytest.mark.parametrize("text", ["the one task", "", "?"])
def test_one_distinct_text_is_fitted_at_its_mean(text: str) -> None:
    router = fit_router(table([sample(text, "only", reward) for reward in (0.0, 1.0, 1.0, 1.0)] * 30), {})
    assert router.predict_rewards(text).tolist() == pytest.approx([0.75])


@pytest.mark.parametrize(
    ("changed", "culprit"),
    [
        ({"reward": float("nan")}, "reward is nan in example 'bad'"),
        ({"reward": 1.5}, "reward is 1.5"),
        ({"reward": None}, "reward is null"),
        ({"weight": float("nan")}, "weight is nan"),
        ({"weight": -1.0}, "weight is -1.0"),
        ({"propensity": float("nan")}, "propensity is nan"),
        ({"propensity": 1.1}, "propensity is 1.1"),
        ({"cost_usd": float("inf")}, "cost_usd is inf"),
        ({"task_text": None}, "task_text is null"),
        ({"arm": None}, "arm is null"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_refused_by_name(changed: dict[str, Any], culprit: str) -> None:
    bad = {**sample("a task", "large", 1.0), "example_id": "bad", **changed}
    with pytest.raises(BadInput, match=culprit):
        fit_router(table([*two_topics(40), bad]), COSTS)


def test_an_empty_table_is_refused() -> None:
    for empty in (table([]), table([sample("a task", "large", 1.0, weight=0.0)])):
        with pytest.raises(BadInput, match="there is not one row"):
            fit_router(empty, COSTS)


def test_a_table_without_a_needed_column_is_refused() -> None:
    with pytest.raises(BadInput, match="column 'propensity' is missing"):
        fit_router(table(two_topics(40)).drop_columns("propensity"), COSTS)


def test_configured_prices_come_first_then_logged_costs() -> None:
    rows = [sample("a", "logged", 1.0, cost_usd=0.4), sample("b", "logged", 1.0, cost_usd=0.2, weight=3.0)]
    router = fit_router(table([*rows, sample("c", "priced", 1.0, cost_usd=9.0)]), {"priced": 0.5})
    assert dict(zip(router.arms, router.costs_usd.tolist(), strict=True)) == pytest.approx(
        {"logged": 0.25, "priced": 0.5}
    )


def test_an_arm_without_any_price_among_priced_ones_is_refused() -> None:
    with pytest.raises(BadInput, match="arm 'free': has neither a configured price nor a logged cost") as caught:
        fit_router(table([sample("a", "free", 1.0), sample("b", "priced", 1.0)]), {"priced": 0.5})
    assert caught.value.fix == "set its price per call in memloop.toml, 0 or more"


def test_where_nothing_has_a_price_the_best_predicted_arm_serves() -> None:
    router = fit_router(table([{**row, "cost_usd": None} for row in two_topics()]), {})
    assert router.costs_usd.tolist() == [0.0, 0.0]
    assert router.choose(TOPICS["proof"]).arm == "large"


def test_a_configured_reference_arm_is_kept_and_an_unknown_one_refused() -> None:
    rows = table(two_topics())
    assert fit_router(rows, COSTS, TrainingSettings(reference_arm="small")).rule.reference_arm == "small"
    with pytest.raises(BadInput, match="reference arm 'huge' is not one of its arms"):
        fit_router(rows, COSTS, TrainingSettings(reference_arm="huge"))


def routed_logs(count: int = 4000) -> list[dict[str, Any]]:
    """Logs of a router that sends proofs to the large arm and refunds to the small one, nine times in ten.

    The large arm earns 0.8 and 0.4 on refunds and proofs, the small one 0.7 and 0.1: large is better everywhere.
    """
    random = np.random.default_rng(1)
    rewards = {("refund", "large"): 0.8, ("proof", "large"): 0.4, ("refund", "small"): 0.7, ("proof", "small"): 0.1}
    rows = []
    for place in range(count):
        topic = ("refund", "proof")[place % 2]
        usual, other = ("small", "large") if topic == "refund" else ("large", "small")
        arm, propensity = (usual, 0.9) if random.random() < 0.9 else (other, 0.1)
        rows.append(sample(f"{TOPICS[topic]} case {place % 17}", arm, rewards[topic, arm], propensity=propensity))
    return rows


def test_a_routers_own_logs_do_not_make_the_better_arm_look_worse() -> None:
    rows = routed_logs()
    arm, means = best_single_arm(table(rows), {})
    assert arm == "large"
    assert means == pytest.approx({"large": 0.6, "small": 0.4}, abs=0.02)
    assert best_single_arm(table([{**row, "propensity": None} for row in rows]), {})[0] == "small"
    assert best_single_arm(table(rows), {}, TrainingSettings(propensity_floor=1.0))[0] == "small"


def test_one_propensity_for_all_rows_changes_nothing() -> None:
    rows = two_topics()
    found = [
        fit_router(table([{**row, "propensity": value} for row in rows]), COSTS).predict_reward_table(
            [*TOPICS.values()]
        )
        for value in (None, 0.5, 0.01)
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)
    np.testing.assert_allclose(found[2], found[0], atol=1e-12)


def test_a_lucky_arm_of_few_rows_is_not_the_best_single_arm() -> None:
    steady = [sample(f"task {place}", "steady", 0.5) for place in range(400)]
    lucky = [sample(f"task {place}", "lucky", 1.0) for place in range(19)]
    assert best_single_arm(table(steady + lucky), {})[0] == "steady"
    assert best_single_arm(table([*steady, *lucky, sample("one more", "lucky", 1.0)]), {})[0] == "lucky"
    assert best_single_arm(table(lucky), {})[0] == "lucky"


def test_of_arms_that_served_about_as_often_the_best_one_is_the_best_single_arm() -> None:
    weak = [sample(f"task {place}", "weak", float(place % 2)) for place in range(60)]
    strong = [sample(f"other {place}", "strong", float(place % 10 < 6)) for place in range(60)]
    assert best_single_arm(table(weak + strong[:45]), {})[0] == "strong"  # 15 fewer: less than 1.645 sqrt(105) = 16.9
    assert best_single_arm(table(weak + strong[:40]), {})[0] == "weak"  # 20 fewer, and 0.6 leads 0.5 by less than noise


def test_only_common_terms_are_kept_and_no_more_than_asked_for() -> None:
    rows = table([sample(f"alpha beta only{place}", "one", place % 2) for place in range(30)])
    assert fit_router(rows, {}).featuriser.terms == ("alpha", "alpha beta", "beta")
    assert fit_router(rows, {}, TrainingSettings(max_terms=2)).featuriser.terms == ("alpha", "alpha beta")
    assert fit_router(rows, {}, TrainingSettings(max_terms=0)).featuriser.terms == ()


def test_a_task_seen_often_is_one_document() -> None:
    rows = table([sample("gamma", "one", 0.5)] * 50 + [sample(f"task {place}", "one", 0.5) for place in range(5)])
    assert fit_router(rows, {}).featuriser.terms == ("task",)


@pytest.mark.parametrize("name", [entry.name for entry in fields(TrainingSettings) if entry.name != "reference_arm"])
def test_settings_out_of_bounds_are_refused(name: str) -> None:
    for value in (-1, float("nan"), float("inf")):
        changed: dict[str, Any] = {name: value}
        with pytest.raises(BadSettings, match=name):
            TrainingSettings(**changed)


def test_a_refitted_router_is_equal_to_the_last_bit() -> None:
    def bits(router: Router) -> bytes:
        return b"".join(array.tobytes() for _, array in sorted(router.arrays().items()))

    assert bits(fit_router(table(two_topics()), COSTS)) == bits(fit_router(table(two_topics()), COSTS))


def test_the_mean_of_a_domain_is_shrunk_to_the_arms_own_and_weighs_by_its_trials() -> None:
    rows = [sample(f"refund order {n}", "large", float(n < 30), domain="refunds") for n in range(40)]
    rows += [sample(f"prove lemma {n}", "large", float(n < 10), domain="proofs") for n in range(20)]
    rows += [sample(f"refund order {n}", "small", 1.0) for n in range(20)]
    linear = fit_router(table(rows), COSTS, PLAIN).linear
    place = linear.domains.index("refunds")
    assert linear.domain_means[place, 0] == pytest.approx((40 * 30 / 40 + 10 * 40 / 60) / 50)
    assert linear.domain_shares[place].tolist() == pytest.approx([0.5 * 40 / 50, 0.0])
