"""Contract rows M1 (its report), M5, M9, M10 and M11, and A16, A19 and A20: what every attempt leaves, and what a dry run may do."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from memloop_assets.cli import main
from memloop_assets.definitions import defs
from memloop_assets.errors import BadInput, CorruptData
from memloop_assets.home import Home
from memloop_assets.orchestration.jobs import DRY_RUN_OPS
from memloop_assets.orchestration.run_tags import range_tags
from memloop_assets.orchestration.schedules import monday
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.simulate import World, write_logs
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import (
    FIRST,
    LONG_AFTER,
    decision_of,
    fill_home,
    ledger_of,
    manifests,
    open_at,
    run_weeks_through_dagster,
)

SECOND = FIRST.shift(1)
SMALL = World(first_week=FIRST, seed=2, week_count=3, trajectories_per_week=40, exploration_ratio=0.8)


def reports_of(home: Home) -> Attempts:
    return Attempts(home.state, home.places.training_reports)


def rehearse(folder: Path, first: IsoWeek, last: IsoWeek, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    config = {
        "resources": {"home": {"config": {"folder": str(folder), "frozen_now": LONG_AFTER}}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        "ops": DRY_RUN_OPS,
    }
    job = defs.resolve_job_def("dry_run")
    return job.execute_in_process(
        instance=instance, tags=range_tags(first, last), run_config=config, raise_on_error=False
    )


@pytest.fixture(scope="module")
def two_weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Home]]:
    """A home with three weeks of logs whose first two are decided; tests of this module only read these."""
    folder = tmp_path_factory.mktemp("two") / "home"
    home = fill_home(folder, SMALL)
    assert run_weeks_through_dagster(folder, FIRST, SECOND).success
    yield folder, home
    home.state.close()


def test_m05_every_attempt_leaves_a_report_with_its_sources_its_scores_and_its_decision(
    two_weeks: tuple[Path, Home],
) -> None:
    _, home = two_weeks
    report, decision = reports_of(home).get_report(f"{SECOND}.1"), decision_of(home, SECOND)
    assert (report["at"], report["attempt"], report["dry_run"]) == (LONG_AFTER, 1, False)
    samples = home.store.read("router_samples", SECOND)["example_id"].to_pylist()
    earlier = home.store.read("router_samples", FIRST).num_rows
    assert set(report["sample_ids"]) <= set(samples)
    assert report["new_sample_count"] == len(report["sample_ids"]) > 0
    assert report["sample_count"] == report["new_sample_count"] + report["earlier_samples"][str(FIRST)]
    assert report["earlier_samples"] == {str(FIRST): earlier}
    assert report["champion_metrics"]["reward"] == decision["champion_reward"] is not None
    assert report["challenger_metrics"]["reward"] == decision["challenger_reward"] is not None
    assert (report["outcome"], report["ledger_outcome"]) == (decision["outcome"], decision["outcome"])
    assert " ".join(report["reasons"]) == decision["why"]
    promoted = decision["challenger"] if decision["outcome"] == "promote" else None
    assert report["promoted_version"] == promoted


def test_m01_7_a_report_names_the_generation_of_every_table_down_to_the_log(two_weeks: tuple[Path, Home]) -> None:
    _, home = two_weeks
    lineage = reports_of(home).get_report(str(SECOND))["lineage"]
    for name in ("promotion_decision", "router_checkpoint", "dataset_snapshot", "router_samples", "session_logs"):
        assert lineage[f"{name} {SECOND}"] == home.store.generation(name, SECOND)
    assert lineage[f"router_samples {FIRST}"] == home.store.generation("router_samples", FIRST)
    assert lineage["benchmark_suite"] == home.store.generation("benchmark_suite", None)


def test_m05_a_report_is_found_by_its_id_or_its_week_and_an_altered_one_is_refused(
    two_weeks: tuple[Path, Home], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, home = two_weeks
    attempts = reports_of(home)
    assert attempts.find(str(FIRST)) == attempts.find(f"{FIRST}.1")
    assert attempts.find() == attempts.find(f"{SECOND}.1")
    with pytest.raises(BadInput, match=r"there is no report 2026-W02\.7"):
        attempts.find("2026-W02.7")
    assert main(["--home", str(folder), "report", str(FIRST), "--all"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"# {FIRST}, attempt 1: ")
    path = attempts.path_of(FIRST, 1)
    assert path.with_suffix(".md").read_text(encoding="utf-8") + "\n" == page
    assert main(["--home", str(folder), "report", f"{FIRST}.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == attempts.get_report(f"{FIRST}.1")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"attempt": 1', b'"attempt": 2'))
    with pytest.raises(CorruptData, match="it is not what was written"):
        attempts.get_report(f"{FIRST}.1")
    path.write_bytes(whole)


def test_m05_a_run_that_fails_in_training_leaves_an_error_report_of_each_of_its_weeks(tmp_path: Path) -> None:
    home = fill_home(tmp_path / "home", SMALL)
    home.places.benchmark_suite.write_text("no suite", encoding="utf-8")
    assert not run_weeks_through_dagster(tmp_path / "home", FIRST, SECOND).success
    for week in (FIRST, SECOND):
        report = reports_of(home).get_report(str(week))
        assert report["outcome"] == "error"
        assert "benchmark_suite" in report["reasons"][0]
        assert report["promoted_version"] is None
        assert reports_of(home).path_of(week, 1).with_suffix(".md").exists()
    assert ledger_of(home) == []


def test_m09_the_partition_is_the_seen_set_and_nothing_is_counted_as_new_twice(two_weeks: tuple[Path, Home]) -> None:
    _, home = two_weeks
    first, second = (set(reports_of(home).get_report(str(week))["sample_ids"]) for week in (FIRST, SECOND))
    assert first
    assert second
    assert not first & second, "a trajectory belongs to the week in which it starts"
    for week, ids in ((FIRST, first), (SECOND, second)):
        numbers = json.loads(decision_of(home, week)["metrics_json"])
        assert numbers["new_sample_count"] == home.store.read("router_samples", week).num_rows >= len(ids)


def test_m10_what_a_benchmark_made_is_kept_and_never_trains(tmp_path: Path) -> None:
    home = fill_home(tmp_path / "home", World(first_week=FIRST, seed=2, week_count=1, trajectories_per_week=30))
    folder = tmp_path / "shadow"
    write_logs(World(first_week=FIRST, seed=3, week_count=1, trajectories_per_week=30), folder)
    for path in find_logs(folder):
        home.landing.ingest(path, ReadOptions(origin="benchmark"))
    assert run_weeks_through_dagster(tmp_path / "home", FIRST).success
    trajectories = home.store.read("trajectories", FIRST).to_pylist()
    shadows = {row["trajectory_id"] for row in trajectories if row["origin"] == "benchmark"}
    assert shadows
    assert not shadows & set(home.store.read("router_samples", FIRST)["example_id"].to_pylist())
    assert not shadows & set(home.store.read("sft_examples", FIRST)["trajectory_id"].to_pylist())
    assert not shadows & set(reports_of(home).get_report(str(FIRST))["sample_ids"])


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, dg.DagsterInstance]]:
    """The first two weeks of a home, rehearsed and then decided."""
    folder = tmp_path_factory.mktemp("dry") / "home"
    home = fill_home(folder, SMALL)
    with dg.DagsterInstance.ephemeral() as instance:
        assert rehearse(folder, FIRST, SECOND, instance).success
        assert ledger_of(home) == []
        assert not home.places.champion.exists()
        assert home.store.weeks("promotion_decision") == home.store.weeks("training_report") == []
        assert run_weeks_through_dagster(folder, FIRST, SECOND, instance=instance).success
        before = (manifests(home), ledger_of(home), home.places.champion.read_bytes())
        assert rehearse(folder, FIRST, FIRST, instance).success
        assert (manifests(home), ledger_of(home), home.places.champion.read_bytes()) == before
        yield home, instance
    home.state.close()


def test_m11_a_dry_run_trains_evaluates_and_reports_as_the_loop_would_and_promotes_nothing(
    rehearsed: tuple[Home, dg.DagsterInstance],
) -> None:
    home, _ = rehearsed
    attempts = reports_of(home)
    for week in (FIRST, SECOND):
        dry, real = (attempts.get_report(f"{week}.{number}") for number in (1, 2))
        assert (dry["dry_run"], real["dry_run"]) == (True, False)
        for name in ("outcome", "reasons", "challenger", "champion_before", "challenger_metrics", "sample_ids"):
            assert dry[name] == real[name], name
        assert (dry["promoted_version"], dry["ledger_outcome"]) == (None, None)
        assert real["ledger_outcome"] == real["outcome"]
        assert "nothing was recorded" in attempts.path_of(week, 1).with_suffix(".md").read_text(encoding="utf-8")


def test_m11_the_ui_shows_a_dry_run_as_an_observation_and_not_as_a_materialisation(
    rehearsed: tuple[Home, dg.DagsterInstance],
) -> None:
    _, instance = rehearsed
    records = instance.fetch_observations(dg.AssetKey("training_report"), limit=9).records
    assert [record.asset_observation.metadata["report_id"].value for record in records if record.asset_observation] == [
        f"{FIRST}.3",
        f"{SECOND}.1",
        f"{FIRST}.1",
    ]


def test_a16_and_a19_attempts_are_counted_per_week_and_dry_runs_advance_the_count(
    rehearsed: tuple[Home, dg.DagsterInstance],
) -> None:
    home, _ = rehearsed
    attempts = reports_of(home)
    assert [(row.number, row.is_dry_run) for row in attempts.rows(FIRST)] == [(1, True), (2, False), (3, True)]
    assert attempts.next_number(FIRST) == 4
    assert attempts.next_number(FIRST.shift(2)) == 1
    assert [row.seq for row in attempts.rows()] == sorted(row.seq for row in attempts.rows())
    assert attempts.find().report_id == f"{FIRST}.3"


def test_a16_the_table_of_attempts_refuses_to_be_rewritten(tmp_path: Path) -> None:
    home = open_at(tmp_path)
    facts: dict[str, object] = {
        "outcome": "skip",
        "reasons": [],
        "lineage": {},
        "sample_count": None,
        "ledger_outcome": None,
    }
    facts |= {"week": str(FIRST), "champion_before": None, "champion_after": None, "challenger": None}
    facts |= {"suite_fingerprint": None, "comparison": {}, "findings": []}
    facts |= {"promoted_version": None, "champion_metrics": {}, "challenger_metrics": {}, "would_decide_now": None}
    reports_of(home).record(FIRST, facts, run_id="r", is_dry_run=False, now=datetime(2026, 6, 1, tzinfo=UTC))
    for statement in ("UPDATE attempts SET outcome = 'promote'", "DELETE FROM attempts"):
        with pytest.raises(Exception, match="append-only"), home.state.transaction() as connection:
            connection.exec_driver_sql(statement)
    assert [row.outcome for row in reports_of(home).rows()] == ["skip"]


def test_a20_the_schedule_runs_the_week_just_closed_early_on_monday() -> None:
    assert (monday.cron_schedule, monday.execution_timezone) == ("0 5 * * 1", "UTC")
    at = datetime(2026, 3, 23, 5, tzinfo=UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=at)
        told = cast("Iterator[dg.RunRequest | dg.SkipReason]", monday(context))
        requests = [found for found in told if isinstance(found, dg.RunRequest)]
    assert [request.partition_key for request in requests] == [IsoWeek(2026, 12).key]
    assert IsoWeek(2026, 12).end == datetime(2026, 3, 23, tzinfo=UTC)
