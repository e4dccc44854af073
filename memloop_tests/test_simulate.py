import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from memloop_assets.errors import BadSettings
from memloop_assets.simulate import (
    ARMS,
    INCUMBENT_ARM,
    World,
    WrittenLogs,
    best_single_arm_performance,
    draw_benchmark_tasks,
    draw_tasks,
    evaluate_policy,
    oracle_performance,
    true_cost_usd,
    true_reward,
    write_benchmark,
    write_logs,
)
from memloop_assets.simulate_prose import DOMAINS, Task
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek

FIRST = IsoWeek(2026, 2)
WORLD = World(first_week=FIRST, week_count=6)
EVENT_TYPES = {"message", "tool_call", "error", "decision", "route", "outcome"}


def read_event(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line as a strict reader would; None where the line is no event."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        event = json.loads(line.decode("utf-8"), parse_constant=refuse)
    except ValueError:
        return None
    return event if event["type"] in EVENT_TYPES else None


def identified(files: tuple[Path, ...]) -> dict[str, list[dict[str, Any]]]:
    """Return the events of every trajectory that carries ids."""
    trajectories: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events_of(files):
        if "task_id" in event:
            trajectories[event["task_id"]].append(event)
    return trajectories


def events_of(files: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    for file in files:
        for line in file.read_bytes().splitlines():
            event = read_event(line)
            if event is not None:
                yield event


def only(events: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    found = [event for event in events if event["type"] == kind]
    assert len(found) <= 1
    return found[0] if found else None


@cache
def task_of_text() -> dict[str, Task]:
    """Return the hidden truth behind the texts that the world of these tests writes."""
    tasks = [*draw_benchmark_tasks(WORLD, 300), *draw_tasks(WORLD, FIRST, 60, "standing")]
    for week in WORLD.weeks:
        tasks += draw_tasks(WORLD, week, WORLD.trajectories_per_week, "live")
    return {task.text: task for task in tasks}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> WrittenLogs:
    return write_logs(WORLD, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory) -> WrittenLogs:
    return write_logs(replace(WORLD, shuffle_rewards=True), tmp_path_factory.mktemp("shuffled"))


def test_equal_worlds_write_equal_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    small = World(first_week=FIRST, week_count=2, trajectories_per_week=60)
    for name, world in {"one": small, "two": small, "other": replace(small, seed=1)}.items():
        write_logs(world, tmp_path / name)
        write_benchmark(world, tmp_path / name / "benchmark.parquet", task_count=20)
    written = {
        name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two", "other")
    }
    assert written["one"] == written["two"]
    assert not set(written["one"].values()) & set(written["other"].values())


def test_a_longer_world_begins_like_the_shorter_one(tmp_path: Path) -> None:
    short = World(first_week=FIRST, week_count=2, trajectories_per_week=60, benchmark_repeat_ratio=0.0)
    long = replace(short, week_count=3)
    monday = FIRST.shift(1).start.date().isoformat()  # the shorter world's last week differs: it ends tidily
    begun = [
        {path.name: path.read_bytes() for path in write_logs(world, tmp_path / name).files if path.stem[8:] < monday}
        for name, world in (("short", short), ("long", long))
    ]
    assert len(begun[0]) >= 5
    assert begun[0] == begun[1]


def test_what_was_written_is_counted(logs: WrittenLogs) -> None:
    lines = [line for file in logs.files for line in file.read_bytes().splitlines()]
    events = [event for event in map(read_event, lines) if event is not None]
    trajectories = identified(logs.files)
    assert len(lines) - len(events) == logs.malformed_count == 3 * 6
    assert len(events) == logs.event_count
    assert len(trajectories) + logs.without_ids_count == logs.trajectory_count == 6 * 700
    assert logs.without_ids_count == 6 * 70
    assert sum(event["type"] == "outcome" for event in events) == logs.outcome_count
    starts = [IsoWeek.of(datetime.fromisoformat(events[0]["timestamp"])) for events in trajectories.values()]
    assert {week: count - 70 for week, count in logs.trajectory_counts.items()} == Counter(starts)


def test_every_kind_of_malformed_line_occurs(tmp_path: Path) -> None:
    world = World(first_week=FIRST, week_count=1, trajectories_per_week=20, malformed_lines_per_week=400)
    written = write_logs(world, tmp_path)
    assert set(written.malformed_counts) == {
        "half_written",
        "two_objects",
        "invalid_utf8",
        "nan_reward",
        "unknown_type",
    }
    lines = [line for file in written.files for line in file.read_bytes().splitlines()]
    assert sum(read_event(line) is None for line in lines) == 400


def test_files_hold_the_utc_day_of_their_name_in_order_of_time(logs: WrittenLogs) -> None:
    for file in logs.files:
        moments = [datetime.fromisoformat(event["timestamp"]) for event in events_of((file,))]
        assert moments == sorted(moments)
        assert {f"session_{moment.astimezone(UTC).date()}.jsonl" for moment in moments} == {file.name}
    assert {event["timestamp"][-6:] for event in events_of(logs.files)} >= {"+00:00", "+02:00", "-05:00"}
    assert any(event["timestamp"].endswith("Z") for event in events_of(logs.files))


def test_sessions_interleave_and_run_across_midnight_and_into_the_next_week(logs: WrittenLogs) -> None:
    order: list[str] = []
    weeks_of_session: dict[str, set[IsoWeek]] = defaultdict(set)
    days_of_task: dict[str, set[str]] = defaultdict(set)
    for file in logs.files:
        for event in events_of((file,)):
            if "session_id" in event:
                order.append(event["session_id"])
                weeks_of_session[event["session_id"]].add(IsoWeek.of(datetime.fromisoformat(event["timestamp"])))
                days_of_task[event["task_id"]].add(file.name)
    changes = sum(one != other for one, other in pairwise(order))
    assert changes > 1.2 * len(set(order))
    assert any(len(weeks) == 2 for weeks in weeks_of_session.values())
    assert any(len(days) == 2 for days in days_of_task.values())
    assert max(logs.trajectory_counts) == WORLD.weeks[-1]


def test_trajectories_without_ids_are_parted_by_more_than_ten_minutes_of_silence(logs: WrittenLogs) -> None:
    unnamed = [event for event in events_of(logs.files) if "session_id" not in event]
    moments = [datetime.fromisoformat(event["timestamp"]) for event in unnamed]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    pauses = [gap for gap in gaps if gap > timedelta(minutes=10)]
    assert len(pauses) + 1 == logs.without_ids_count
    assert max(gap for gap in gaps if gap <= timedelta(minutes=10)) < timedelta(seconds=30)
    assert 0.07 < len(unnamed) / logs.event_count < 0.13


def test_propensities_are_honest(logs: WrittenLogs) -> None:
    routes = [event for event in events_of(logs.files) if event["type"] == "route"]
    offered: Counter[str] = Counter()
    weighted: dict[str, float] = dict.fromkeys(ARMS, 0.0)
    for route in routes:
        explored = 0.3 / len(route["candidate_arms"])
        assert min(abs(route["propensity"] - share) for share in (explored, 0.7 + explored)) < 1e-9
        offered.update(route["candidate_arms"])
        weighted[route["arm"]] += 1 / route["propensity"]
    # An arm's inverse propensities add up to the number of times it was offered, if they are what they say.
    for arm in ARMS:
        assert weighted[arm] / offered[arm] == pytest.approx(1.0, abs=0.15)
    rare = sum(route["propensity"] < 0.5 for route in routes) / len(routes)
    assert rare == pytest.approx(0.3 * 0.8, abs=0.02)
    assert sum(route["arm"] == INCUMBENT_ARM for route in routes) / len(routes) > 0.5


def means_of(files: tuple[Path, ...]) -> dict[str, tuple[float, float, float, float, int]]:
    """Return per arm the observed and the true mean reward, the observed and the expected mean cost, and the count."""
    found: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for events in identified(files).values():
        route, outcome = only(events, "route"), only(events, "outcome")
        assert route is not None
        if outcome is not None:
            task = task_of_text()[events[0]["content"]]
            week = IsoWeek.parse(events[0]["task_id"][2:10])
            arm = route["arm"]
            truth = true_reward(WORLD, task, week)[arm]
            found[arm].append((outcome["reward"], truth, outcome["cost_usd"], true_cost_usd(task)[arm]))
    return {arm: (*np.mean(rows, axis=0).tolist(), len(rows)) for arm, rows in found.items()}


def test_logged_rewards_and_costs_agree_with_the_ground_truth_per_arm(logs: WrittenLogs) -> None:
    means = means_of(logs.files)
    assert set(means) == set(ARMS)
    for observed, true, cost, expected_cost, count in means.values():
        assert abs(observed - true) < 4 * 0.5 / count**0.5
        assert cost == pytest.approx(expected_cost, rel=0.06)


def test_outcomes_are_consistent_and_a_few_are_missing(logs: WrittenLogs) -> None:
    outcomes = [event for event in events_of(logs.files) if event["type"] == "outcome"]
    for outcome in outcomes:
        assert outcome["success"] == (outcome["reward"] >= 0.5)
        assert outcome["label_source"] == "judge" or outcome["reward"] in (0.0, 1.0)
        assert outcome["cost_usd"] > 0
        assert outcome["latency_ms"] > 0
    assert 0.02 < 1 - len(outcomes) / logs.trajectory_count < 0.04


def test_some_failures_read_like_successes(logs: WrittenLogs) -> None:
    deceptive = failures = 0
    for events in identified(logs.files).values():
        outcome = only(events, "outcome")
        if outcome and not outcome["success"]:
            failures += 1
            answers = [event for event in events if event.get("role") == "assistant"]
            tool_count = sum(event["type"] == "tool_call" for event in events)
            kinds = {event["type"] for event in events}
            deceptive += answers[0]["confidence"] >= 0.75 and tool_count >= 2 and "error" not in kinds
    assert 0.2 < deceptive / failures < 0.6


def test_shuffled_rewards_keep_the_logs_and_destroy_what_arms_differ_in(
    logs: WrittenLogs, shuffled: WrittenLogs
) -> None:
    def without_outcomes(files: tuple[Path, ...]) -> list[dict[str, Any]]:
        return [event for event in events_of(files) if event["type"] != "outcome"]

    assert without_outcomes(logs.files) == without_outcomes(shuffled.files)
    honest = {arm: row[0] for arm, row in means_of(logs.files).items()}
    mixed = {arm: row[0] for arm, row in means_of(shuffled.files).items()}
    assert max(honest.values()) - min(honest.values()) > 0.15
    counts = {arm: row[4] for arm, row in means_of(shuffled.files).items()}
    overall = sum(mixed[arm] * counts[arm] for arm in ARMS) / sum(counts.values())
    for arm in ARMS:
        assert abs(mixed[arm] - overall) < 4 * 0.45 / counts[arm] ** 0.5
    for event in events_of(shuffled.files):
        if event["type"] == "outcome":
            assert event["success"] == (event["reward"] >= 0.5)


def test_live_tasks_repeat_benchmark_prompts_and_each_other(logs: WrittenLogs, tmp_path: Path) -> None:
    write_benchmark(WORLD, tmp_path / "benchmark.parquet", task_count=300)
    prompts = {task_key(text) for text in pq.read_table(tmp_path / "benchmark.parquet")["prompt"].to_pylist()}
    keys = Counter(task_key(events[0]["content"]) for events in identified(logs.files).values())
    assert 0.005 < sum(keys[prompt] for prompt in prompts) / keys.total() < 0.03
    repeats = sum(count - 1 for count in keys.values())
    assert 0.01 < repeats / keys.total() < 0.08


def test_the_benchmark_has_one_outcome_per_arm_and_task_near_the_truth(tmp_path: Path) -> None:
    write_benchmark(WORLD, tmp_path / "benchmark.parquet", task_count=400)
    table = pq.read_table(tmp_path / "benchmark.parquet")
    assert table.column_names == ["task_id", "prompt", "domain", "arm", "reward", "cost_usd", "latency_ms"]
    rows = table.to_pylist()
    assert len(rows) == len({(row["task_id"], row["arm"]) for row in rows}) == 400 * len(ARMS)
    assert {row["domain"] for row in rows} == set(DOMAINS)
    tasks = draw_benchmark_tasks(WORLD, 400)
    for arm in ARMS:
        observed = np.mean([row["reward"] for row in rows if row["arm"] == arm])
        assert observed == pytest.approx(np.mean([true_reward(WORLD, task, FIRST)[arm] for task in tasks]), abs=0.08)


def test_the_truth_drifts_in_mix_and_in_one_arm() -> None:
    world = World(first_week=FIRST)
    task = Task("The dates are text since the import.", "spreadsheets", 0.5)
    before, after = (true_reward(world, task, world.weeks[index]) for index in (7, 8))
    assert after["small-model"] > before["small-model"] + 0.1
    assert {arm for arm in ARMS if before[arm] != after[arm]} == {"small-model"}
    steady = replace(world, improvement_week=None)
    assert true_reward(steady, task, world.weeks[7]) == true_reward(steady, task, world.weeks[8])
    shares = [Counter(task.domain for task in draw_tasks(world, world.weeks[i], 4000, "x")) for i in (0, 15)]
    assert shares[1]["past-decisions"] > 1.3 * shares[0]["past-decisions"]


def test_no_arm_is_best_everywhere_and_the_large_model_is_the_best_single_one() -> None:
    world = World(first_week=FIRST)
    for week in (world.weeks[0], world.weeks[-1]):
        best, performance = best_single_arm_performance(world, week)
        oracle = oracle_performance(world, week)
        assert best == "large-model"
        assert 0.75 < performance.reward < 0.85
        assert oracle.reward > performance.reward + 0.08
        assert oracle.cost_usd < performance.cost_usd / 3
        assert set(oracle.arm_ratios) == set(ARMS)
    assert ARMS["large-model"].price_usd == pytest.approx(20 * ARMS["small-model"].price_usd)


def test_a_policy_is_evaluated_by_what_it_chooses() -> None:
    world = World(first_week=FIRST)
    cheap = evaluate_policy(world, FIRST, lambda _text, _domain: "small-model", task_count=500)
    by_length = evaluate_policy(
        world, FIRST, lambda text, _domain: "large-model" if len(text) > 150 else "small-model", 500
    )
    _, best = best_single_arm_performance(world, FIRST, task_count=500)
    assert cheap.arm_ratios == {"small-model": 1.0}
    assert cheap.reward < by_length.reward < best.reward
    assert cheap.cost_usd < by_length.cost_usd < best.cost_usd


def test_the_prose_tells_something_about_the_best_arm_but_gives_nothing_away() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier

    world = World(first_week=FIRST)
    tasks = draw_tasks(world, FIRST, 11_000, "prose")
    truths = [true_reward(world, task, FIRST) for task in tasks]
    best = np.array([max(truth, key=truth.__getitem__) for truth in truths])
    words = TfidfVectorizer(min_df=2).fit_transform([task.text for task in tasks])

    def accuracy(seen: int) -> float:
        judge = SGDClassifier(loss="log_loss", alpha=1e-4, random_state=0, max_iter=5, tol=None)
        judge.fit(words[:seen], best[:seen])
        return float(judge.score(words[10_000:], best[10_000:]))

    chance = float((best[10_000:] == Counter(best.tolist()).most_common(1)[0][0]).mean())
    early, late = accuracy(300), accuracy(10_000)
    assert chance + 0.2 < early < late - 0.05
    assert late < 0.96


def test_no_word_settles_the_domain() -> None:
    tasks = draw_tasks(World(first_week=FIRST), FIRST, 6_000, "words")
    holders: dict[str, Counter[str]] = defaultdict(Counter)
    for task in tasks:
        for word in set(task.text.casefold().split()):
            holders[word][task.domain] += 1
    of_domain = Counter(task.domain for task in tasks)
    for word, counts in holders.items():
        domain, count = counts.most_common(1)[0]
        assert count < 0.6 * of_domain[domain] or count < 0.6 * counts.total(), word


@pytest.mark.parametrize("wrong", [{"week_count": 0}, {"exploration_ratio": 1.5}, {"trajectories_per_week": 0}])
def test_an_impossible_world_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSettings):
        World(first_week=FIRST, **wrong)
