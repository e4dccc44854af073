"""The benchmark suite: what it refuses, what its fingerprint sees, and its ways through JSON and rows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.benchmarks.suite import (
    ROW_SCHEMA,
    ArmOutcome,
    BenchmarkSuite,
    BenchmarkTask,
    default_suite,
    load_suite,
    save_suite,
    suite_of_rows,
    suite_rows,
)
from memloop_assets.errors import BadInput
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.simulate import ARMS
from memloop_assets.tasks import normalise_task, split_of_task, task_key

NAN_REWARD = """{"format": 1, "name": "x", "holdout_share": 0.5, "tasks": [
    {"task_id": "a", "prompt": "p", "split": "holdout", "outcomes": {"big": {"reward": NaN}}}]}"""
OUTCOMES = {"big": ArmOutcome(1.0, 0.02, 900.0), "small": ArmOutcome(0.25)}


def a_task(number: int, prompt: str | None = None, **changes: object) -> BenchmarkTask:
    """Return a sound task of the default split."""
    text = prompt if prompt is not None else f"question {number}"
    values = {"domain": "law", "split": split_of_task(text, 0.5), "outcomes": OUTCOMES} | changes
    return BenchmarkTask(task_id=f"t{number}", prompt=text, **values)  # type: ignore[arg-type]


def a_suite(count: int = 6) -> BenchmarkSuite:
    return BenchmarkSuite("tiny", tuple(a_task(number) for number in range(count)))


texts = st.text(min_size=1, max_size=30).filter(
    lambda text: bool(normalise_task(text)) and text.strip() != "" and text.isprintable()
)
outcomes = st.builds(
    ArmOutcome,
    st.floats(0, 1),
    st.none() | st.floats(0, 1e3),
    st.none() | st.floats(0, 1e6),
)


@st.composite
def suites(draw: st.DrawFn) -> BenchmarkSuite:
    share, salt = draw(st.floats(0, 1)), draw(st.text("ab", max_size=2))
    prompts = draw(st.lists(texts, max_size=6, unique_by=task_key))
    tasks = tuple(
        BenchmarkTask(
            f"id-{number}",
            prompt,
            draw(st.none() | texts),
            split_of_task(prompt, share, salt),
            draw(st.dictionaries(texts, outcomes, min_size=1, max_size=3)),
        )
        for number, prompt in enumerate(prompts)
    )
    return BenchmarkSuite("drawn", tasks, share, salt, "a note")


@given(suites())
def test_a_suite_comes_back_the_same_from_json_and_from_rows(suite: BenchmarkSuite) -> None:
    assert BenchmarkSuite.from_json(suite.to_json()) == suite
    assert suite_of_rows(suite_rows(suite)) == suite


@given(suites(), st.randoms())
def test_the_fingerprint_and_the_rows_do_not_depend_on_the_order_of_the_tasks(
    suite: BenchmarkSuite, random: object
) -> None:
    tasks = list(suite.tasks)
    random.shuffle(tasks)  # type: ignore[attr-defined]
    shuffled = replace(suite, tasks=tuple(tasks), name="renamed", note="")
    assert shuffled.fingerprint == suite.fingerprint
    assert suite_rows(shuffled).equals(suite_rows(suite))


@pytest.mark.parametrize(
    "changed",
    [
        {"domain": "medicine"},
        {"outcomes": OUTCOMES | {"big": ArmOutcome(0.5, 0.02, 900.0)}},
        {"outcomes": OUTCOMES | {"big": ArmOutcome(1.0, 0.03, 900.0)}},
        {"outcomes": OUTCOMES | {"third": ArmOutcome(1.0)}},
    ],
)
def test_the_fingerprint_sees_every_change_of_what_is_measured(changed: dict[str, object]) -> None:
    suite = a_suite()
    altered = replace(suite, tasks=(a_task(0, **changed), *suite.tasks[1:]))
    assert altered.fingerprint != suite.fingerprint


@pytest.mark.parametrize(
    ("numbers", "culprit"),
    [
        ((1.01, None, None), "reward is 1.01"),
        ((-0.01, None, None), "reward is -0.01"),
        ((float("nan"), None, None), "reward is nan"),
        ((None, None, None), "reward is None"),
        (("1", None, None), "reward is '1'"),
        ((0.5, -1.0, None), "cost_usd is -1.0"),
        ((0.5, float("inf"), None), "cost_usd is inf"),
        ((0.5, 0.1, float("nan")), "latency_ms is nan"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused(numbers: tuple[float, float, float], culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit):
        ArmOutcome(*numbers)


def test_a_task_needs_text_and_an_outcome() -> None:
    with pytest.raises(BadInput, match="no outcome"):
        a_task(1, outcomes={})
    for broken in ("", "  \n", "\ud800"):
        with pytest.raises(BadInput, match="not text"):
            BenchmarkTask("t1", broken, None, "practice", OUTCOMES)


def test_one_task_cannot_stand_twice_in_a_suite() -> None:
    with pytest.raises(BadInput, match="'t1' occurs twice"):
        BenchmarkSuite("twice", (a_task(1), a_task(1, "something else")))
    with pytest.raises(BadInput, match="'t1' and 't2' have the same text"):
        BenchmarkSuite("twice", (a_task(1, "What now?"), a_task(2, " what  NOW? ")))


def test_a_holdout_task_cannot_be_passed_off_as_practice() -> None:
    wrong = {"practice": "holdout", "holdout": "practice"}[a_task(1).split]
    with pytest.raises(BadInput, match="falls on the other side"):
        BenchmarkSuite("leaky", (a_task(1, split=wrong),))


def test_tasks_of_a_split_are_a_partition() -> None:
    suite = a_suite(40)
    sides = suite.tasks_of("practice"), suite.tasks_of("holdout")
    assert all(sides)
    assert sorted(task.task_id for side in sides for task in side) == [task.task_id for task in suite.tasks]


def test_a_saved_suite_loads_the_same_and_replaces_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "made" / "suite.json"
    save_suite(a_suite(3), path)
    save_suite(a_suite(6), path)
    assert load_suite(path) == a_suite(6)
    assert sorted(file.name for file in path.parent.iterdir()) == ["suite.json", "versions"]


def test_a_suite_edited_after_it_was_frozen_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text(a_suite().to_json().replace('"reward": 0.25', '"reward": 0.75', 1), encoding="utf-8")
    with pytest.raises(BadInput, match=r"suite\.json.*edited after it was frozen"):
        load_suite(path)


def test_a_suite_written_by_hand_needs_no_fingerprint() -> None:
    document = json.loads(a_suite().to_json())
    del document["fingerprint"]
    assert BenchmarkSuite.from_json(json.dumps(document)) == a_suite()


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("", "not JSON"),
        ("[1, 2]", "format is 'list'"),
        ('{"format": 2}', "format is 2"),
        ('{"format": 1, "name": "x", "holdout_share": 0.5}', "list of tasks"),
        ('{"format": 1, "name": "x", "holdout_share": 0.5, "tasks": [3]}', "task number 1 is malformed"),
        ('{"format": 1, "name": "x", "holdout_share": 0.5, "tasks": [{"task_id": "a"}]}', "task number 1 is malformed"),
        ('{"format": 1, "name": "x", "holdout_share": 2, "tasks": []}', "holdout_share is 2"),
        ('{"format": 1, "name": "", "holdout_share": 0.5, "tasks": []}', "name is empty"),
        (NAN_REWARD, "task number 1: reward is nan"),
    ],
)
def test_a_broken_suite_file_is_refused_by_name(tmp_path: Path, text: str, culprit: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=rf"broken\.json.*{culprit}"):
        load_suite(path)


def test_a_file_that_is_absent_a_folder_or_not_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.json", ".", "bytes.json"):
        with pytest.raises(BadInput, match="benchmark file"):
            load_suite(tmp_path / name)


def test_the_rows_have_their_schema_and_keep_what_is_unknown_null() -> None:
    rows = suite_rows(a_suite(2))
    assert rows.schema.equals(ROW_SCHEMA)
    assert rows.num_rows == 4
    assert rows.column("cost_usd").to_pylist() == [0.02, None, 0.02, None]
    assert rows.column("task_key").to_pylist()[0] == task_key("question 0")


def test_rows_that_lost_their_metadata_need_the_split_of_their_suite() -> None:
    suite = BenchmarkSuite(
        "salted", tuple(a_task(n, split=split_of_task(f"question {n}", 0.2, "s")) for n in range(20)), 0.2, "s"
    )
    bare = suite_rows(suite).replace_schema_metadata(None)
    assert suite_of_rows(bare, name="salted", holdout_share=0.2, salt="s") == suite
    with pytest.raises(BadInput, match="use the holdout_share and salt"):
        suite_of_rows(bare)


def test_the_default_suite_covers_four_kinds_of_task_with_the_demo_worlds_arms() -> None:
    suite = default_suite()
    domains = [task.domain for task in suite.tasks]
    assert {domain: domains.count(domain) for domain in set(domains)} == {
        "memory": 6,
        "tool": 6,
        "skill": 6,
        "composite": 6,
    }
    assert {task.domain for task in suite.tasks_of("holdout")} == set(domains)
    assert suite.arms == tuple(sorted(ARMS))
    assert all(set(task.outcomes) == set(ARMS) for task in suite.tasks)


def test_the_default_suite_is_too_small_to_promote_anything_and_says_so() -> None:
    suite = default_suite()
    assert len(suite.tasks) < PromotionPolicy().required_task_count
    assert "too small to promote" in suite.note
