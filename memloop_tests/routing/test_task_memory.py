"""Task memory: the very task and its near-duplicates are remembered, others are not, and trials outweigh predictions in time."""

from dataclasses import replace

import numpy as np
import pytest

from memloop_assets.errors import BadInput
from memloop_assets.routing.task_memory import TaskMemory, gather_memory
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.tasks import task_key
from memloop_tests.routing.test_training import COSTS, TOPICS, sample, table, two_topics
from memloop_tests.routing.written import router_predicting

KETTLE = "please refund the order of my broken kettle, it leaks from the lid and the switch no longer stays down when I press it"
KETTLE_AGAIN = "Please refund the order of my broken kettle; it leaks from the lid and the switch no longer stays down when I press it!"
KETTLE_NEARLY = "please refund the order of my broken kettle, it leaks from its lid and the switch no longer stays down when I press it"
OTHER = "prove that the sum of two primes above two is even"


def remembering(counts: list[list[float]], sums: list[list[float]], texts: list[str], most: int = 99) -> TaskMemory:
    tasks = [(task_key(text), text) for text in texts]
    tries = np.array(counts).sum(axis=1).astype(np.int64)
    found = gather_memory(tasks, tries, np.array(counts), np.array(sums), most_tasks=most, trust_trials=4.0)
    assert found is not None
    return found


def test_a_task_is_recalled_in_its_own_words_and_in_nearly_its_own() -> None:
    memory = remembering([[2.0, 1.0], [3.0, 0.0]], [[1.0, 0.0], [3.0, 0.0]], [KETTLE, OTHER])
    assert memory.recall(OTHER) == (1, 1.0)
    assert memory.recall(f"  {KETTLE.upper()} ") == (0, 1.0)
    assert memory.recall(KETTLE_AGAIN) == (0, 1.0)
    place, similarity = memory.recall(KETTLE_NEARLY)
    assert place == 0
    assert 0.8 <= similarity < 1.0
    assert memory.recall("write a poem about the sea and its ships") == (None, 0.0)
    assert memory.recall(f"{KETTLE} 17") == (None, 0.0), "another number is another task"


def test_what_was_earned_counts_against_the_prediction_by_trials_and_similarity() -> None:
    memory = remembering([[4.0, 0.0]], [[4.0, 0.0]], [KETTLE])
    rewards, left = memory.blend(0, 1.0, np.array([0.5, 0.5]))
    assert rewards.tolist() == [0.75, 0.5], "four trials beside a trust of four"
    assert left.tolist() == [0.5, 1.0]
    rewards, _ = memory.blend(0, 0.8, np.array([0.5, 0.5]))
    assert rewards[0] == pytest.approx((4 * 0.5 + 0.8 * 4) / (4 + 0.8 * 4))


def test_near_duplicates_are_one_task_and_tasks_tried_once_are_not_kept() -> None:
    memory = remembering([[1.0], [1.0], [1.0]], [[1.0], [0.0], [1.0]], [KETTLE, KETTLE_NEARLY, OTHER])
    assert (memory.trial_counts.tolist(), memory.reward_sums.tolist()) == ([[2.0]], [[1.0]])
    assert memory.recall(OTHER)[0] is None
    assert memory.recall("?!") == (None, 0.0)
    once = np.ones(1, dtype=np.int64)
    lone = gather_memory([("k", OTHER)], once, np.ones((1, 1)), np.ones((1, 1)), most_tasks=9, trust_trials=4.0)
    assert lone is None


def test_a_task_tried_twice_long_ago_is_remembered_and_one_tried_once_is_not_however_much_it_weighs() -> None:
    weights = np.array([[0.5], [3.0]])
    tasks = [(task_key(text), text) for text in (KETTLE, OTHER)]
    for most in (9, 1):
        found = gather_memory(tasks, np.array([2, 1]), weights, weights / 2, most_tasks=most, trust_trials=4.0)
        assert found is not None
        assert (found.keys, found.trial_counts.tolist()) == ((task_key(KETTLE),), [[0.5]])


def test_only_the_tasks_tried_most_often_are_kept() -> None:
    memory = remembering([[2.0], [5.0]], [[1.0], [1.0]], [KETTLE, OTHER], most=1)
    assert memory.keys == (task_key(OTHER),)


def test_memory_that_does_not_fit_together_is_refused() -> None:
    memory = remembering([[2.0]], [[1.0]], [KETTLE])
    for changed in ({"keys": ()}, {"reward_sums": np.array([[3.0]])}, {"ends": memory.ends + 1}, {"trust_trials": 0.0}):
        with pytest.raises(BadInput, match="task memory"):
            replace(memory, **changed)  # type: ignore[arg-type]


def test_a_remembered_task_is_never_novel_and_its_choice_is_surer() -> None:
    router = router_predicting({"small": 0.5, "large": 0.8}, known_word_limit=0.5)
    assert router.choose(KETTLE).is_fallback is True
    tried = replace(router, memory=remembering([[0.0, 20.0]], [[0.0, 20.0]], [KETTLE]))
    choice = tried.choose(KETTLE)
    assert (choice.arm, choice.is_fallback) == ("small", False)
    assert choice.predicted_reward == pytest.approx((4 * 0.5 + 20) / 24)
    assert tried.predict_reward_table([KETTLE, OTHER]).tolist() == [
        tried.predict_rewards(text).tolist() for text in (KETTLE, OTHER)
    ]


def test_a_fitted_router_remembers_what_its_words_cannot_tell() -> None:
    odd = f"{TOPICS['proof']} of Euler"
    rows = [*two_topics(), *(sample(odd, "small", 1.0) for _ in range(12))]
    for most, arm in ((100, "small"), (0, "large")):
        router = fit_router(table(rows), COSTS, TrainingSettings(memory_tasks=most))
        assert router.choose(odd).arm == arm
        assert router.choose(TOPICS["proof"]).arm == "large"
