"""Leakage: holdout tasks are dropped from what teaches, and a table that still holds one is never published."""

from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.benchmarks.tables import BENCHMARK_SUITE
from memloop_assets.datasets.leakage import (
    NearHoldout,
    drop_holdout,
    holdout_keys,
    no_holdout_overlap,
    with_task_text,
)
from memloop_assets.datasets.samples import build_router_samples
from memloop_assets.datasets.supervised import build_sft_examples
from memloop_assets.datasets.tables import ROUTER_SAMPLES
from memloop_assets.errors import ContractBroken
from memloop_assets.store import Provenance, Store, Verdict
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek
from memloop_tests.datasets.graded import grades, trajectories, trajectory

TASKS = pa.table({"task_key": pa.array(["a", "b", "a", "c"], pa.large_string()), "number": [1, 2, 3, 4]})


def test_only_the_holdout_side_of_a_suite_is_held_out() -> None:
    suite = pa.table({"task_key": ["a", "b", "a", "c"], "split": ["holdout", "practice", "holdout", "holdout"]})
    assert holdout_keys(suite) == {"a", "c"}
    assert holdout_keys(suite.slice(0, 0)) == frozenset()


@pytest.mark.parametrize(
    ("holdout", "kept"),
    [(set(), [1, 2, 3, 4]), ({"a"}, [2, 4]), ({"a", "b", "c"}, []), ({"z", "A", ""}, [1, 2, 3, 4])],
)
def test_rows_of_the_holdout_are_dropped_and_counted(holdout: set[str], kept: list[int]) -> None:
    rows, dropped = drop_holdout(TASKS, frozenset(holdout))
    assert rows["number"].to_pylist() == kept
    assert dropped == 4 - len(kept)


def test_the_verdict_counts_the_tasks_that_overlap() -> None:
    assert no_holdout_overlap(frozenset({"a", "b", "z"}))(TASKS) == Verdict(
        "no holdout task", is_kept=False, detail="2 of 3 holdout tasks overlap"
    )
    assert no_holdout_overlap(frozenset({"z"}))(TASKS).is_kept
    assert no_holdout_overlap(frozenset())(TASKS).is_kept


def test_a_table_that_holds_one_holdout_task_is_not_published(tmp_path: Path) -> None:
    store, week = Store(tmp_path), IsoWeek(2026, 12)
    rows, _counts = build_router_samples(
        trajectories(trajectory("a"), trajectory("b", "x")), grades(a="HIGH", b="HIGH"), frozenset()
    )
    held = frozenset(rows.slice(0, 1)["task_key"].to_pylist())
    with pytest.raises(ContractBroken, match="no holdout task: 1 of 1 holdout tasks overlap"):
        store.publish(ROUTER_SAMPLES, week, rows, Provenance(), [no_holdout_overlap(held)])
    assert store.generation(ROUTER_SAMPLES.name, week) is None
    store.publish(ROUTER_SAMPLES, week, drop_holdout(rows, held)[0], Provenance(), [no_holdout_overlap(held)])
    assert store.read(ROUTER_SAMPLES.name, week).num_rows == 1


HELD = "Please send the money for the parcel that never arrived back to my card"


def publish_suite(store: Store, **splits: str) -> None:
    """Publish a benchmark of two arms whose tasks have these splits; a task's name with spaces is its text."""
    rows = [
        {"task_id": text, "prompt": text, "task_key": task_key(text), "split": split, "arm": arm, "reward": 1.0}
        | {"suite_name": "own", "holdout_share": 0.5, "salt": ""}
        for text, split in splits.items()
        for arm in ("small", "large")
    ]
    store.publish(BENCHMARK_SUITE, None, BENCHMARK_SUITE.table(rows), Provenance())


def test_a_holdout_task_in_slightly_other_words_is_dropped_and_counted_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish_suite(store, **{HELD: "holdout", "Where can I see what I ordered from you last week?": "practice"})
    near = NearHoldout(store)
    said = {
        "held": HELD, "edited": f"Hello, {HELD.lower()}!", "other": "Where is it?",
        "practice": "Where can I see what I ordered from you last weeks?",
    }  # fmt: skip
    kept, count = near.drop(trajectories(*(trajectory(name, text) for name, text in said.items())))
    assert (sorted(kept["trajectory_id"].to_pylist()), count) == (["held", "other", "practice"], 1)


def test_a_benchmark_that_changes_during_a_run_is_looked_at_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish_suite(store, **{"Where is it?": "holdout"})
    near, rows = NearHoldout(store), trajectories(trajectory("a", f"Hello, {HELD}"))
    assert near.drop(rows)[1] == 0
    publish_suite(store, **{HELD: "holdout"})
    assert near.drop(rows)[1] == 1


def test_the_task_of_an_example_is_read_from_what_it_holds() -> None:
    given, tiers = trajectories(trajectory("a", HELD), trajectory("b", "Where is it?")), grades(a="HIGH", b="HIGH")
    samples, _counts = build_router_samples(given, tiers, frozenset())
    spoken, _counts = build_sft_examples(given, tiers, frozenset())
    chat = '[{"role":"system","content":"Be kind."},{"role":"user","content":"Where is it?"}]'
    pair = pa.table({"task_key": [task_key("Where is it?")], "prompt_json": [chat]})
    for examples in (samples, spoken, pair):
        told = with_task_text(examples)
        assert [task_key(text) for text in told["task_text"].to_pylist()] == told["task_key"].to_pylist()
