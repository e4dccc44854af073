"""What may teach and what never does: holdout tasks, failures, LOW grades and other origins, shown on the whole loop."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from memloop_assets.benchmarks.suite import ArmOutcome, BenchmarkSuite, BenchmarkTask, save_suite
from memloop_assets.benchmarks.tables import suite_of_table
from memloop_assets.datasets.exports.catalogue import TRAINERS
from memloop_assets.datasets.exports.training_file import export_file
from memloop_assets.home import Home
from memloop_assets.simulate import write_logs
from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.tasks import task_key
from memloop_assets.trajectories.formats.reader import ORIGINS, Origin
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    WORLD,
    attempt,
    finished_home,
    import_benchmark,
    open_at,
    run_weeks_through_dagster,
    write_log,
    write_settings,
)

TEACHING = ("sft_examples", "router_samples", "dataset_snapshot")
FREE_OF_HOLDOUT = (*TEACHING, "preference_pairs")
UP_TO_SNAPSHOT = WEEKLY_TABLES[:8]
SUITE = "benchmark_suite"
WEEKS = list(weeks_between(FIRST, LAST_RUN))
HELD = "Please send the money for the parcel that never arrived back to my card"
OTHER = "Where can I see what I ordered from you last week?"
EXAMPLES_OF_A_TASK = 10
"""In two weeks of two attempts: a conversation and a sample of each, and a pair a week."""


def holdout_keys(home: Home) -> set[str]:
    return {task.key for task in suite_of_table(home.store.read(SUITE, None)).tasks_of("holdout")}


def keys_of(home: Home, table: str, week: IsoWeek) -> list[str]:
    return list(home.store.read(table, week)["task_key"].to_pylist())


def told(result: dg.ExecuteInProcessResult, table: str, name: str) -> list[object]:
    """Return what a run told of a table by one name, week by week; 0 where it told nothing."""
    found = result.asset_materializations_for_node(table)
    return [one.metadata[name].value if name in one.metadata else 0 for one in found]


def test_holdout_tasks_in_the_logs_are_dropped_and_counted_and_teach_nowhere(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    holdout = holdout_keys(home)
    planted = [sum(key in holdout for key in keys_of(home, "trajectories", week)) for week in WEEKS]
    assert sum(map(bool, planted)) >= 3, "the world of these tests asks holdout tasks in too few weeks"
    for table in FREE_OF_HOLDOUT:
        for week in WEEKS:
            assert not holdout.intersection(keys_of(home, table, week))
    result = run_weeks_through_dagster(tmp_path / "home", FIRST, LAST_RUN, assets=["sft_examples", "router_samples"])
    for table in ("sft_examples", "router_samples"):
        assert told(result, table, "holdout_excluded_count") == planted


def test_a_benchmark_imported_later_takes_its_tasks_out_of_the_next_snapshot(tmp_path: Path) -> None:
    folder, last = tmp_path / "home", FIRST.shift(1)
    write_settings(folder)
    write_logs(WORLD, folder / "logs")
    home = open_at(folder)
    for path in find_logs(folder / "logs")[:14]:
        home.landing.ingest(path, ReadOptions())
    assert run_weeks_through_dagster(folder, FIRST, last, assets=[SUITE, *UP_TO_SNAPSHOT]).success
    import_benchmark(home, WORLD)
    result = run_weeks_through_dagster(folder, last, assets=[SUITE, "dataset_snapshot"])
    holdout = holdout_keys(home)
    leaked = [key for week in (FIRST, last) for key in keys_of(home, "router_samples", week) if key in holdout]
    assert leaked, "built before there was a holdout"
    assert not holdout.intersection(keys_of(home, "dataset_snapshot", last))
    (excluded,) = told(result, "dataset_snapshot", "holdout_excluded_count")
    assert excluded >= len(leaked)  # type: ignore[operator]  # a count


def test_a_benchmark_that_comes_later_takes_out_what_nearly_repeats_its_holdout_too(tmp_path: Path) -> None:
    folder, last = tmp_path / "home", FIRST.shift(1)
    write_settings(folder)
    home = open_at(folder)
    fill_weeks(home, (FIRST, last), f"Hello, {HELD.lower()}!", HELD, OTHER)
    assert run_weeks_through_dagster(folder, FIRST, last, assets=[SUITE, *UP_TO_SNAPSHOT]).success
    near, held, other = map(task_key, (f"Hello, {HELD.lower()}!", HELD, OTHER))
    before = {table: keys_of(home, table, last) for table in FREE_OF_HOLDOUT}
    assert all({near, held, other} <= set(keys) for keys in before.values()), "built before there was a holdout"
    outcomes = {"small-model": ArmOutcome(1.0), "large-model": ArmOutcome(0.0)}
    suite = BenchmarkSuite("own", (BenchmarkTask("held", HELD, None, "holdout", outcomes),), holdout_share=1.0)
    save_suite(suite, home.places.benchmark_suite)
    result = run_weeks_through_dagster(folder, last, assets=[SUITE, "dataset_snapshot"])
    assert set(keys_of(home, "dataset_snapshot", last)) == {other}
    assert keys_of(home, "router_samples", last) == before["router_samples"], "the week itself was not built again"
    assert told(result, "dataset_snapshot", "holdout_near_duplicate_count") == [EXAMPLES_OF_A_TASK]
    assert told(result, "dataset_snapshot", "holdout_excluded_count") == [EXAMPLES_OF_A_TASK]
    written = export_file(home.store, "sft", TRAINERS["openai"], (FIRST, last), tmp_path / "train.jsonl")
    assert (written.written_count, written.holdout_excluded_count) == (2, 8), (
        "the same conversation in both weeks is one"
    )
    run_weeks_through_dagster(folder, FIRST, last, assets=["sft_examples", "preference_pairs", "router_samples"])
    again = run_weeks_through_dagster(folder, last, assets=["dataset_snapshot"])
    assert set(keys_of(home, "dataset_snapshot", last)) == {other}
    assert told(again, "dataset_snapshot", "holdout_near_duplicate_count") == [0], "the weeks hold none any more"


def fill_weeks(home: Home, weeks: Sequence[IsoWeek], *requests: str) -> None:
    """Ingest two attempts at each request in each week, of which one succeeds."""
    for week in weeks:
        tried = [(request, reward) for request in requests for reward in (1.0, 0.6)]
        lines = [
            line
            for number, (request, reward) in enumerate(tried)
            for line in attempt(week.start + timedelta(minutes=number), number, request, reward=reward)
        ]
        home.landing.ingest(
            write_log(home.settings.home / f"session_{week.start:%Y-%m-%d}.jsonl", lines), ReadOptions()
        )


def test_a_practice_task_may_teach(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    practice = {task.key for task in suite_of_table(home.store.read(SUITE, None)).tasks_of("practice")}
    assert any(practice.intersection(keys_of(home, "router_samples", week)) for week in WEEKS)


def test_low_grades_and_known_failures_are_samples_and_never_supervised_examples(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    counts = {"low": 0, "failed although HIGH": 0, "failed samples": 0}
    for week in WEEKS:
        trajectories = {row["trajectory_id"]: row for row in home.store.read("trajectories", week).to_pylist()}
        tiers = {
            row["trajectory_id"]: row["quality_tier"] for row in home.store.read("trajectory_quality", week).to_pylist()
        }
        failed = {name for name, row in trajectories.items() if row["is_known_failure"]}
        low = {name for name, tier in tiers.items() if tier == "LOW"}
        taught = set(home.store.read("sft_examples", week)["trajectory_id"].to_pylist())
        assert taught
        assert not taught & (failed | low)
        samples = home.store.read("router_samples", week).to_pylist()
        counts["low"] += len(low)
        counts["failed although HIGH"] += sum(tiers[name] == "HIGH" for name in failed)
        counts["failed samples"] += sum(row["reward"] < 0.5 for row in samples)
    assert min(counts.values()) > 0, counts


@pytest.mark.parametrize("origin", ORIGINS)
def test_only_live_and_review_lines_teach(tmp_path: Path, origin: Origin) -> None:
    write_settings(tmp_path / "home")
    home = open_at(tmp_path / "home")
    lines = [line for number in range(5) for line in attempt(FIRST.start, number, f"Request {number}")]
    home.landing.ingest(write_log(tmp_path / "session_2026-01-05.jsonl", lines), ReadOptions(origin=origin))
    result = run_weeks_through_dagster(tmp_path / "home", FIRST, assets=[SUITE, *UP_TO_SNAPSHOT])
    assert result.success
    assert home.store.read("trajectories", FIRST)["origin"].to_pylist() == [origin] * 5
    teaches = origin in ("live", "review")
    for table in TEACHING:
        assert bool(home.store.read(table, FIRST).num_rows) == teaches
    for table in ("sft_examples", "router_samples"):
        assert told(result, table, "left_out") == ["none" if teaches else "- 5 x other_origin"]
