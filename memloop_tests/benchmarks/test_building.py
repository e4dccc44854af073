"""A benchmark from one's own logs: which trials count, which tasks are kept, what is missing, and what is told of it."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memloop_assets.benchmarks.building import (
    BuildOptions,
    BuiltSuite,
    build_suite,
    complete_counts,
    domain_shift,
    mean_reward,
)
from memloop_assets.benchmarks.suite import ArmOutcome
from memloop_assets.benchmarks.summary import GateNeeds, build_lines, gaps_file
from memloop_assets.benchmarks.trials import Tried, gather_trials, group_trials
from memloop_assets.errors import BadInput
from memloop_assets.tasks import split_of_task, task_key
from memloop_assets.trajectories.formats.reader import Origin
from memloop_assets.trajectories.sources import ReadOptions
from memloop_tests.scenario import FIRST, attempt, open_at, write_log

NEEDS = GateNeeds(required_task_count=100, max_unsupported_ratio=0.01, reward_margin=0.03, confidence=0.95)
Row = dict[str, Any]


def trial(task: str, arm: str, reward: float = 1.0, origin: Origin = "live", **facts: object) -> Row:
    """Return one trial with the columns of a trajectory; its id is made of what it says."""
    row: Row = {"task_text": task, "task_key": task_key(task), "arm": arm, "reward": reward, "origin": origin}
    row |= {"domain": "billing", "cost_usd": None, "latency_ms": None} | facts
    return row | {"trajectory_id": str(sorted((name, str(value)) for name, value in row.items()))}


def tried(*rows: Row) -> Tried:
    return Tried(FIRST, FIRST, group_trials(rows))


def build(given: Tried, *arms: str, fewest: int | None = None) -> BuiltSuite:
    return build_suite(given, BuildOptions("own", arms=arms, fewest_arms=fewest))


def kept(built: BuiltSuite) -> set[str]:
    return {task.prompt for task in built.suite.tasks}


def said(given: Tried, built: BuiltSuite) -> str:
    return "\n".join(build_lines(built, given, NEEDS))


# from logs


def shadowed(number: int, task: str, arm: str, **changes: object) -> Iterator[Mapping[str, object]]:
    """Yield the lines of one attempt; changes go into its outcome."""
    for line in attempt(FIRST.start + timedelta(minutes=number), number, task, arm=arm):
        yield {**line, **changes} if line["type"] == "outcome" else line


def test_trials_come_from_live_logs_and_shadow_calls_and_from_nothing_else(tmp_path: Path) -> None:
    home = open_at(tmp_path)
    logs: dict[Origin, list[tuple[str, str]]] = {
        "live": [("Refund 4 please", "small-model"), ("Where is it?", "small-model")],
        "benchmark": [("refund 4  PLEASE", "large-model"), ("Where is it?", "large-model")],
        "replay": [("Refund 4 please", "lookup-tool")],
        "probe": [("Where is it?", "lookup-tool")],
        "review": [("Where is it?", "case-memory")],
    }
    for number, (origin, attempts) in enumerate(logs.items()):
        lines = [
            line for place, (task, arm) in enumerate(attempts) for line in shadowed(10 * number + place, task, arm)
        ]
        path = write_log(tmp_path / origin / "session_2026-01-05.jsonl", lines)
        home.landing.ingest(path, ReadOptions(origin=origin))
    found = gather_trials(home.landing, home.settings, (FIRST, FIRST))
    assert {task.prompt: sorted(task.trials) for task in found.tasks.values()} == {
        "Refund 4 please": ["large-model", "small-model"],
        "Where is it?": ["large-model", "small-model"],
    }
    assert found.left_out == {"other_origin_count": 3}
    shadow = gather_trials(home.landing, home.settings, (FIRST, FIRST), ["benchmark"])
    assert {arm for task in shadow.tasks.values() for arm in task.trials} == {"large-model"}


def test_a_trial_without_a_known_reward_a_task_or_one_arm_is_left_out_and_counted(tmp_path: Path) -> None:
    home = open_at(tmp_path)
    lines = [
        *shadowed(0, "A", "small-model"),
        *shadowed(1, "B", "small-model", success=None, reward=None),
        *(line for line in shadowed(2, "C", "small-model") if line["type"] != "route"),
        *(line for line in shadowed(3, "D", "small-model") if line["type"] != "message"),
    ]
    home.landing.ingest(write_log(tmp_path / "session_2026-01-05.jsonl", lines), ReadOptions())
    found = gather_trials(home.landing, home.settings, (FIRST, FIRST))
    assert [task.prompt for task in found.tasks.values()] == ["A"]
    assert found.left_out == {"no_reward_count": 1, "no_arm_count": 1, "no_task_count": 1}


def test_prompts_are_redacted_as_the_weekly_tables_are(tmp_path: Path) -> None:
    home = open_at(tmp_path)
    lines = [
        *shadowed(0, "Write to ada@example.org", "small-model"),
        *shadowed(1, "Write to ada@example.org", "large-model"),
    ]
    home.landing.ingest(write_log(tmp_path / "session_2026-01-05.jsonl", lines), ReadOptions())
    (task,) = build(gather_trials(home.landing, home.settings, (FIRST, FIRST))).suite.tasks
    assert task.prompt == "Write to <EMAIL_1>"


# which tasks, which outcomes


def test_several_trials_of_one_arm_on_one_task_are_averaged() -> None:
    given = tried(
        trial("A", "small", 1.0, cost_usd=0.01, latency_ms=100.0),
        trial("A", "small", 0.0, cost_usd=0.03),
        trial(" a", "small", 0.5),
        trial("A", "large", 1.0),
    )
    (task,) = build(given).suite.tasks
    assert task.outcomes == {"small": ArmOutcome(0.5, 0.02, 100.0), "large": ArmOutcome(1.0)}
    assert "1 tasks that all 2 arms tried" in said(given, build(given))
    assert "4 trials of 1 tasks" in said(given, build(given))


def test_by_default_only_tasks_that_every_chosen_arm_tried_are_kept() -> None:
    given = tried(
        *(trial("all", arm) for arm in ("small", "large", "tool")),
        *(trial("two", arm) for arm in ("small", "large")),
        trial("one", "small"),
    )
    assert kept(build(given)) == {"all"}
    assert kept(build(given, "small", "large")) == {"all", "two"}
    assert build(given, "small", "large").suite.arms == ("large", "small")
    assert kept(build(given, fewest=2)) == {"all", "two"}
    assert (build(given).unknown_count, build(given, fewest=2).unknown_count) == (0, 1)
    warned = "1 of 6 outcomes are unknown and are not guessed: the gate holds where more than 1% of the choices"
    assert warned in said(given, build(given, fewest=2))
    assert "unknown" not in said(given, build(given))


def test_the_split_is_that_of_the_task_and_the_order_of_the_trials_is_none_of_its_business() -> None:
    rows = [trial(f"Task {number}", arm) for number in range(40) for arm in ("small", "large")]
    suite = build(tried(*rows)).suite
    assert {task.split for task in suite.tasks} == {"holdout", "practice"}
    assert all(task.split == split_of_task(task.prompt, 0.5) for task in suite.tasks)
    shuffled = Random(1).sample(rows, len(rows))  # noqa: S311  # an order, no secret
    assert build(tried(*shuffled)).suite == suite
    assert build_suite(tried(*rows), BuildOptions("own", holdout_share=1.0)).suite.tasks_of("practice") == ()


def test_a_task_keeps_its_most_frequent_domain() -> None:
    given = tried(
        trial("A", "small", domain="x"), trial("A", "small", domain="y"), trial("A", "large", domain="y"),
        trial("B", "small", domain=None), trial("B", "large", domain=" "),
    )  # fmt: skip
    assert {task.prompt: task.domain for task in build(given).suite.tasks} == {"A": "y", "B": None}


def test_logs_without_any_arm_say_what_they_hold_instead() -> None:
    given = Tried(FIRST, FIRST, {}, {"no_arm_count": 2, "no_reward_count": 1})
    with pytest.raises(BadInput, match=r"2026-W02: none \(left out: 2 no arm, 1 no reward\)"):
        build(given)


@pytest.mark.parametrize(
    ("rows", "arms", "culprit"),
    [
        ([trial("A", "small")], (), "arms with a known reward in 2026-W02..2026-W02: small"),
        ([], (), "arms with a known reward in 2026-W02..2026-W02: none"),
        ([trial("A", "small"), trial("A", "large")], ("lagre",), "'lagre' tried no task"),
        ([trial("A", "small"), trial("A", "large")], ("large",), "arms with a known reward"),
    ],
)
def test_what_compares_nothing_is_refused(rows: list[Row], arms: tuple[str, ...], culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit):
        build(tried(*rows), *arms)
    with pytest.raises(BadInput, match="--min-arms"):
        BuildOptions("own", fewest_arms=1)


def test_an_arm_without_any_trial_is_compared_where_it_is_known_and_named_or_another_is_alone() -> None:
    alone, two = tried(trial("A", "small"), trial("B", "small")), tried(trial("A", "small"), trial("B", "large"))
    for given, named, arms in (
        (alone, (), ("small", "huge")),
        (alone, ("huge", "small"), ("small", "huge")),
        (two, (), ("large", "small")),
        (two, ("small", "huge"), ("small", "huge")),
    ):
        built = build_suite(given, BuildOptions("own", arms=named, untried_arms=("huge", "small")))
        assert built.arms == arms
        lacking = {(gap.task.prompt, arm) for gap in built.gaps for arm in gap.missing}
        assert lacking == {
            (task.prompt, arm)
            for task in given.tasks.values()
            if any(arm in task.trials for arm in arms)
            for arm in arms
            if arm not in task.trials
        }
        assert "reward there" in said(given, built)
    with pytest.raises(
        BadInput, match=r"'hueg' tried no task .*, and memloop\.toml has no such arm\. Fix: did you mean 'huge'"
    ):
        build_suite(alone, BuildOptions("own", arms=("hueg",), untried_arms=("huge",)))
    with pytest.raises(BadInput, match=r"W02: none. Fix: .*\[arms.NAME\] in memloop.toml"):
        build_suite(tried(), BuildOptions("own", untried_arms=("huge", "small")))


# gaps


GAPPY = tried(
    *(trial("whole", arm) for arm in ("small", "large", "tool")),
    *(trial(f"pair {number}", arm) for number in range(3) for arm in ("small", "large")),
    *(trial(f"single {number}", "small") for number in range(5)),
)


def test_gaps_are_counted_by_arm_and_by_the_shadow_calls_that_fill_them() -> None:
    built = build(GAPPY)
    assert built.arms == ("small", "large", "tool")
    assert [gap.missing for gap in built.gaps] == [("tool",)] * 3 + [("large", "tool")] * 5
    text = said(GAPPY, built)
    assert "8 tasks lack an arm: tool 8, large 5; 13 shadow calls would fill them all" in text
    assert "3 of them lack one arm alone: 3 calls" in text
    assert complete_counts(built, GAPPY) == [9, 4, 1]


def test_the_calls_that_the_gaps_file_lists_fill_the_gaps() -> None:
    calls = [*csv.DictReader(io.StringIO(gaps_file(build(GAPPY).gaps)))]
    assert len(calls) == 13
    rows = [trial(call["prompt"], call["arm"], origin="benchmark") for call in calls]
    before = [trial(t.prompt, arm) for t in GAPPY.tasks.values() for arm in t.trials]
    filled = build(tried(*before, *rows))
    assert (filled.gaps, len(filled.kept)) == ((), 9)
    assert "gaps      none" in said(tried(*before, *rows), filled)


def test_a_plan_to_the_goal_counts_what_gaps_give_and_what_must_be_new() -> None:
    rows = [trial(f"t{number}", arm, float(arm == "small")) for number in range(4) for arm in ("small", "large")]
    given = tried(*rows, *(trial(f"s{number}", "small") for number in range(6)))
    built = build(given)
    text = said(given, built)
    needed = 3_858  # 6.18 * (1 - 0.0016) / 0.0016
    assert f"+4 points need at most {needed:,} holdout tasks ({2 * needed:,} tasks at this share)" in text
    new = 2 * (needed - len(built.suite.tasks_of("holdout"))) - 6
    assert f"6 shadow calls complete 6 more tasks; {new:,} further tasks have to be new ones, {2 * new:,} calls" in text


# biases


def many(count: int, arms: Sequence[str], reward: float = 1.0, name: str = "t", **facts: object) -> list[Row]:
    return [trial(f"{name} {number}", arm, reward, **facts) for number in range(count) for arm in arms]


def test_live_tasks_of_several_arms_are_said_to_be_no_random_sample_and_shadow_calls_are_not() -> None:
    live, shadow = (
        tried(*many(5, ["small", "large"]), *many(5, ["small", "large"], name="s", origin=o))
        for o in ("live", "benchmark")
    )
    assert "no random sample" in said(live, build(live))
    only = tried(*many(5, ["small", "large"], origin="benchmark"))
    assert "no random sample" not in said(only, build(only))
    assert "no random sample" in said(shadow, build(shadow))


def test_an_arm_that_does_worse_on_the_kept_tasks_is_named() -> None:
    given = tried(*many(20, ["small", "large"], 0.0, "hard"), *many(80, ["small"], 1.0, "easy"))
    built = build(given)
    assert (mean_reward(built.kept, "small"), mean_reward(tuple(given.tasks.values()), "small")) == (0.0, 0.8)
    assert "small earns 0.00 on the kept tasks and 0.80 on all that it tried" in said(given, built)
    even = tried(*many(20, ["small", "large"], 0.8, "hard"), *many(80, ["small"], 0.8, "easy"))
    assert "on all that it tried" not in said(even, build(even))


def test_a_mix_of_domains_that_is_not_the_traffics_is_told() -> None:
    given = tried(*many(10, ["small", "large"], name="a"), *many(30, ["small"], name="b", domain="refunds"))
    assert domain_shift(build(given), given) == ("billing", 1.0, 0.25)
    mixed = tried(
        *many(4, ["small", "large"], name="a"), *many(6, ["small", "large"], name="c", domain="zoo"),
        *many(1, ["small"], name="d"), *many(9, ["small"], name="b", domain="refunds"),
    )  # fmt: skip
    assert domain_shift(build(mixed), mixed) == ("refunds", 0.0, 0.45)
    text = said(given, build(given))
    assert "the domain billing is 100% of the kept tasks and 25% of all that were tried" in text
    assert "10 of 10 tasks are of the domain billing" in text
    bare = tried(*many(3, ["small", "large"], domain=None))
    assert "no task has a domain" in said(bare, build(bare))


def test_few_tasks_and_tasks_that_nearly_repeat_are_told() -> None:
    asked = "Please send the money for the parcel that never arrived back to my card"
    given = tried(*(trial(text, arm) for text in (asked, f"Hello, {asked}!") for arm in ("small", "large")))
    text = said(given, build(given))
    assert "1 tasks nearly repeat another one" in text
    assert "the gate holds below 100" in text
