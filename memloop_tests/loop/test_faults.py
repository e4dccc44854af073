"""Faults in a range of weeks: what is broken is named and stands failed, every other week goes on, and nothing is promoted by it."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from memloop_assets.home import Home
from memloop_assets.orchestration.week_loop import CHECK_NAME
from memloop_assets.simulate import write_logs
from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    WORLD,
    champion_of,
    decision_of,
    decisions,
    fill_home,
    filled_home,
    finished_home,
    ledger_of,
    manifests,
    run_weeks_through_dagster,
)

UNDECIDED = LAST_RUN.shift(1)
DATASETS_ON = WEEKLY_TABLES[4:]


def failed_weeks(result: dg.ExecuteInProcessResult, table: str) -> str:
    """Return the failed weeks that a table's check of a run lists; empty where the check passed."""
    checks = [c for c in result.get_asset_check_evaluations() if c.check_name == CHECK_NAME]
    (found,) = [c for c in checks if c.asset_key.path == [table]]
    assert found.passed == (found.metadata["failed_week_count"].value == 0)
    return "" if found.passed else str(found.metadata["failed_weeks"].value)


def spoil(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def part_of(home: Home, table: str, week: IsoWeek) -> Path:
    """Return the file that holds a week's rows."""
    (part,) = (home.places.tables / table / str(week) / str(home.store.generation(table, week))).glob("*.parquet")
    return part


def test_a_truncated_log_copy_fails_the_weeks_that_look_at_it_and_no_other(tmp_path: Path) -> None:
    home = filled_home(tmp_path / "home")
    broken, before = IsoWeek(2026, 5), IsoWeek(2026, 4)
    (source,) = [s for s in home.landing.sources(broken) if s.file_name == f"session_{broken.start:%Y-%m-%d}.jsonl"]
    copy = home.landing.path_of(source.source_id)
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2])
    result = run_weeks_through_dagster(tmp_path / "home", FIRST, broken)
    assert result.success
    assert failed_weeks(result, "session_logs").startswith(f"- {broken}: landing copy of {source.file_name}")
    assert list(home.store.failures("session_logs")) == [broken]
    # a week's trajectories look at the lines of the week after: a session may run on into it
    assert list(home.store.failures("trajectories")) == [before, broken]
    found = decisions(home)
    assert [found["2026-W04"], found["2026-W05"]] == ["error", "error"]
    assert not {found["2026-W02"], found["2026-W03"]} & {"error", "skip"}
    assert "router_samples" in decision_of(home, broken)["why"]
    copy.write_bytes(whole)
    assert run_weeks_through_dagster(tmp_path / "home", before, broken, assets=WEEKLY_TABLES[:9]).success
    finished = manifests(finished_home(tmp_path / "finished"))
    assert {name: m for name, m in manifests(home).items() if name.startswith(("traj", "router"))}.items() <= (
        finished.items()
    )


def test_a_corrupt_table_upstream_is_one_weeks_error_until_it_is_built_again(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    champion, rows, tables = home.places.champion.read_bytes(), ledger_of(home), manifests(home)
    broken, after = IsoWeek(2026, 4), IsoWeek(2026, 5)
    spoil(part_of(home, "trajectories", broken))
    result = run_weeks_through_dagster(tmp_path / "home", FIRST, LAST_RUN, assets=DATASETS_ON)
    assert result.success
    for table in ("sft_examples", "router_samples", "dataset_snapshot", "router_checkpoint", "benchmark_results"):
        assert failed_weeks(result, table).startswith(f"- {broken}: ")
        assert list(home.store.failures(table)) == [broken]
    assert failed_weeks(result, "promotion_decision") == ""
    assert decision_of(home, broken)["outcome"] == "error"
    assert "dataset_snapshot" in decision_of(home, broken)["why"]
    assert decision_of(home, after)["outcome"] != "error"
    assert ledger_of(home) == rows
    assert run_weeks_through_dagster(tmp_path / "home", after, assets=["champion"]).success
    assert home.places.champion.read_bytes() == champion
    assert run_weeks_through_dagster(tmp_path / "home", broken, LAST_RUN).success
    assert manifests(home) == tables


def test_a_week_without_logs_is_skipped_and_the_chain_goes_on(tmp_path: Path) -> None:
    empty, last = IsoWeek(2026, 3), IsoWeek(2026, 4)
    for path in write_logs(WORLD, tmp_path / "logs").files:
        if f"session_{empty.start:%Y-%m-%d}" <= path.stem <= f"session_{empty.end:%Y-%m-%d}":
            path.unlink()
    home = fill_home(tmp_path / "home", WORLD, logs=tmp_path / "logs")
    assert empty not in home.landing.weeks()
    assert run_weeks_through_dagster(tmp_path / "home", FIRST, last).success
    for table in ("session_logs", "trajectories", "quarantined_lines", "router_samples"):
        assert home.store.read(table, empty).num_rows == 0
    row = decision_of(home, empty)
    assert (row["outcome"], row["champion_after"]) == ("skip", row["champion_before"])
    assert "no new samples" in row["why"]
    assert decision_of(home, last)["task_count"], "champion and challenger were compared"
    assert [entry["week"] for entry in ledger_of(home)] == [str(week) for week in weeks_between(FIRST, last)]


def test_a_week_whose_predecessor_was_never_decided_is_held_and_carries_the_champion_on(tmp_path: Path) -> None:
    home = filled_home(tmp_path / "home")
    assert run_weeks_through_dagster(tmp_path / "home", FIRST, IsoWeek(2026, 4)).success
    before = champion_of(home)
    assert before is not None
    assert before["policy"] == "router"
    assert run_weeks_through_dagster(tmp_path / "home", IsoWeek(2026, 6)).success
    row = decision_of(home, IsoWeek(2026, 6))
    assert row["outcome"] == "hold"
    assert "2026-W05" in row["why"]
    assert row["champion_before"] == row["champion_after"] == before["version"]
    assert champion_of(home) == before


def test_an_open_week_is_held_and_stays_out_of_the_ledger_until_it_has_closed(tmp_path: Path) -> None:
    home = filled_home(tmp_path / "home")
    sunday_night = "2026-01-18T23:59:59+00:00"
    assert run_weeks_through_dagster(tmp_path / "home", FIRST, IsoWeek(2026, 3), now=sunday_night).success
    row = decision_of(home, IsoWeek(2026, 3))
    assert (row["outcome"], row["champion_after"]) == ("hold", row["champion_before"])
    assert "still open" in row["why"]
    assert [entry["week"] for entry in ledger_of(home)] == ["2026-W02"]
    assert run_weeks_through_dagster(tmp_path / "home", IsoWeek(2026, 3), now="2026-01-19T00:00:00+00:00").success
    finished = finished_home(tmp_path / "finished")
    assert decision_of(home, IsoWeek(2026, 3)) == decision_of(finished, IsoWeek(2026, 3))
    assert ledger_of(home) == ledger_of(finished)[:2]


@pytest.mark.parametrize("fault", ["deleted", "altered"])
def test_a_champion_that_cannot_be_trusted_is_an_error_and_stays_champion(tmp_path: Path, fault: str) -> None:
    home = finished_home(tmp_path / "home")
    live = champion_of(home)
    assert live is not None
    checkpoint = home.places.router_versions / live["version"]
    spoil(checkpoint / "term_weights.npy") if fault == "altered" else shutil.rmtree(checkpoint)
    assert run_weeks_through_dagster(tmp_path / "home", UNDECIDED, assets=WEEKLY_TABLES).success
    row = decision_of(home, UNDECIDED)
    assert (row["outcome"], row["champion_after"]) == ("error", live["version"])
    assert live["version"] in row["why"]
    assert ledger_of(home)[-1]["action"] == "error"
    result = run_weeks_through_dagster(tmp_path / "home", UNDECIDED, assets=["champion"])
    assert champion_of(home) == live
    assert result.success == (fault == "altered"), "the pointer pins the facts; a deleted checkpoint has none"


def test_an_unexpected_fault_ends_the_run_once_the_finished_weeks_are_reported(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    in_the_way = home.places.tables / "sft_examples" / str(UNDECIDED)
    in_the_way.write_text("a file where the week's folder belongs")
    instance = dg.DagsterInstance.ephemeral()
    result = run_weeks_through_dagster(tmp_path / "home", FIRST, UNDECIDED, instance=instance)
    assert not result.success
    finished = {week.key for week in weeks_between(FIRST, LAST_RUN)}
    assert instance.get_materialized_partitions(dg.AssetKey("sft_examples")) == finished
    record = instance.get_latest_materialization_event(dg.AssetKey("sft_examples"))
    assert record is not None
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["dagster/row_count"].value
    assert home.store.generation("promotion_decision", UNDECIDED) is None
