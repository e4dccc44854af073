"""Without a benchmark of one's own every page says so and nothing is promoted; with one built from the logs the gate decides on it."""

import json
from datetime import timedelta
from pathlib import Path

import dagster as dg

from memloop_assets.benchmarks.standing import no_own_benchmark
from memloop_assets.benchmarks.suite import default_suite, load_suite
from memloop_assets.benchmarks.tables import suite_of_table
from memloop_assets.cli import main
from memloop_assets.definitions import defs
from memloop_assets.home import Home
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.report import report_page
from memloop_assets.trajectories.sources import ReadOptions
from memloop_tests.scenario import (
    FIRST,
    attempt,
    decision_of,
    open_at,
    run_weeks_through_dagster,
    write_log,
    write_settings,
)

TEACHING = ("sft_examples", "preference_pairs", "router_samples", "dataset_snapshot")
SMALL, LARGE = "small-model", "large-model"
PRICES = f"[arms.{SMALL}]\nusd_per_call = 0.001\n\n[arms.{LARGE}]\nusd_per_call = 0.02\n"
LOOSE = f"[promotion]\nrequired_task_count = 5\nmin_new_samples = 5\n\n{PRICES}"


def home_with_logs(folder: Path) -> Home:
    """Return a home whose live logs tried 60 tasks by the small model, and whose shadow calls tried 40 of them by the large one.

    The gate asks for so few tasks that the suite that ships with memloop would be large enough.
    """
    (folder / "memloop.toml").write_text(LOOSE, encoding="utf-8")
    home = open_at(folder)
    live = [
        attempt(FIRST.start + timedelta(minutes=n), n, f"Request {n}", arm=SMALL, reward=float(n % 3 > 0))
        for n in range(60)
    ]
    live += [attempt(FIRST.start + timedelta(hours=9, minutes=n), 100 + n, f"Live {n}", arm=LARGE) for n in range(20)]
    shadow = [
        attempt(FIRST.start + timedelta(hours=5, minutes=n), 200 + n, f"Request {n}", arm=LARGE) for n in range(40)
    ]
    for name, attempts, origin in (("live", live, "live"), ("shadow", shadow, "benchmark")):
        path = folder / name / f"session_{FIRST.start:%Y-%m-%d}.jsonl"
        home.landing.ingest(
            write_log(path, [line for lines in attempts for line in lines]),
            ReadOptions(origin=origin),  # type: ignore[arg-type]  # an origin
        )
    return home


def told(result: dg.ExecuteInProcessResult, asset: str) -> object:
    (found,) = result.asset_materializations_for_node(asset)
    return found.metadata["benchmark"].value if "benchmark" in found.metadata else None


def page_of(home: Home) -> str:
    attempts = Attempts(home.state, home.places.training_reports)
    return report_page(attempts.get_report(attempts.find().report_id))


def test_without_an_own_benchmark_every_page_says_so_and_with_one_the_gate_decides_on_it(tmp_path: Path) -> None:
    home = home_with_logs(tmp_path)
    result = run_weeks_through_dagster(tmp_path, FIRST)
    assert result.success
    decided = decision_of(home, FIRST)
    assert len(default_suite().tasks_of("holdout")) >= 5, "by size alone it would do"
    assert decided["outcome"] == "hold"
    assert decided["why"].startswith(no_own_benchmark())
    for asset in ("benchmark_suite", "benchmark_results", "promotion_decision"):
        assert told(result, asset) == no_own_benchmark()
    assert page_of(home).count(no_own_benchmark()) == 1

    assert main(["--home", str(tmp_path), "benchmark", "build"]) == 0
    result = run_weeks_through_dagster(tmp_path, FIRST)
    suite, decided = load_suite(home.places.benchmark_suite), decision_of(home, FIRST)
    assert decided["suite_fingerprint"] == suite.fingerprint
    assert json.loads(decided["metrics_json"])["task_count"] == len(suite.tasks_of("holdout"))
    assert no_own_benchmark() not in decided["why"] + page_of(home)
    assert [told(result, a) for a in ("benchmark_results", "promotion_decision")] == [None, None]
    assert told(result, "benchmark_suite") == f"own {suite.version}"
    assert suite_of_table(home.store.read("benchmark_suite", None)).fingerprint == suite.fingerprint


def test_shadow_calls_and_holdout_tasks_of_a_built_benchmark_teach_nothing(tmp_path: Path) -> None:
    home = home_with_logs(tmp_path)
    assert main(["--home", str(tmp_path), "benchmark", "build"]) == 0
    assert run_weeks_through_dagster(tmp_path, FIRST).success
    suite = load_suite(home.places.benchmark_suite)
    holdout, practice = ({task.key for task in suite.tasks_of(split)} for split in ("holdout", "practice"))
    rows = home.store.read("trajectories", FIRST).to_pylist()
    shadow = {row["trajectory_id"] for row in rows if row["origin"] == "benchmark"}
    assert len(shadow) == len(suite.tasks) == 40
    for table in TEACHING:
        assert not holdout.intersection(home.store.read(table, FIRST)["task_key"].to_pylist())
    samples = home.store.read("router_samples", FIRST).to_pylist()
    assert not shadow.intersection(row["example_id"] for row in samples)
    assert {row["arm"] for row in samples if row["task_key"] in practice} == {SMALL}
    assert not shadow.intersection(home.store.read("sft_examples", FIRST)["trajectory_id"].to_pylist())
    paired = home.store.read("preference_pairs", FIRST)
    assert paired.num_rows == 0, "the other side of each pair would be a shadow call"


def test_a_skipped_week_without_an_own_benchmark_says_so_too(tmp_path: Path) -> None:
    write_settings(tmp_path)
    home = open_at(tmp_path)
    assert run_weeks_through_dagster(tmp_path, FIRST).success
    assert decision_of(home, FIRST)["outcome"] == "skip"
    assert no_own_benchmark() in page_of(home)


def test_the_descriptions_in_the_ui_name_both_commands() -> None:
    for name in ("benchmark_suite", "benchmark_results", "promotion_decision"):
        described = defs.get_assets_def(dg.AssetKey(name)).descriptions_by_key[dg.AssetKey(name)]
        for command in ("`memloop benchmark build`", "`memloop benchmark import FILE`"):
            assert command in " ".join(described.split())
