"""Late lines: the weeks that they leave behind are named, with the fix, until they are built again."""

from datetime import timedelta
from pathlib import Path

import dagster as dg

from memloop_assets.home import Home
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.staleness import moved_weeks, stale_range
from memloop_assets.status import WEEKLY_TABLES, stale_lines, status_lines
from memloop_assets.store import Provenance
from memloop_assets.trajectories.segments import WEEKS_AFTER, WEEKS_BEFORE
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import weeks_between
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    attempt,
    finished_home,
    open_at,
    run_weeks_through_dagster,
    write_log,
)

LATE = FIRST.shift(1)
FRESH = ("session_logs", "trajectories", "quarantined_lines", "trajectory_quality", "sft_examples", "router_samples")


def late_line(home: Home) -> None:
    path = home.settings.home / "logs" / "late.jsonl"
    home.landing.ingest(write_log(path, attempt(LATE.start + timedelta(days=2), 1, "A late request")), ReadOptions())


def stale(home: Home) -> dict[str, list[str]]:
    found = moved_weeks(home.store, WEEKLY_TABLES, home.landing.landed_lines())
    return {name: [str(week) for week in weeks] for name, weeks in found.items()}


def checked(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "inputs_current"]
    return found


def test_a_home_that_was_run_is_current_and_a_week_without_lines_is_too(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    assert stale(home) == {}
    assert list(stale_lines(home)) == []
    assert stale_range({}) is None


def test_late_lines_leave_behind_the_weeks_that_look_at_them_and_status_says_how_to_mend_it(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    late_line(home)
    last = min(LATE.shift(WEEKS_BEFORE), LAST_RUN)
    looking = [str(week) for week in weeks_between(LATE.shift(-WEEKS_AFTER), last)]
    assert stale(home) == {"session_logs": [str(LATE)], "trajectories": looking}
    assert list(stale_lines(home))[-1] == f"  fix     memloop backfill {looking[0]}..{last}"
    assert set(stale_lines(home)) <= set(status_lines(home))


def test_a_week_built_again_leaves_behind_every_later_snapshot_and_the_check_warns_until_these_are_built(
    tmp_path: Path,
) -> None:
    home = finished_home(tmp_path / "home")
    late_line(home)
    warned = run_weeks_through_dagster(tmp_path / "home", LATE, assets=[*FRESH, "dataset_snapshot"])
    check = checked(warned)
    assert warned.success
    assert (check.passed, check.severity, check.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert f"dataset_snapshot {LAST_RUN}: " in str(check.metadata["inputs_moved"].value)
    assert str(LAST_RUN) in stale(home)["dataset_snapshot"]
    assert str(LATE) not in stale(home)["dataset_snapshot"]
    whole = run_weeks_through_dagster(tmp_path / "home", FIRST, LAST_RUN)
    assert checked(whole).passed
    assert stale(open_at(tmp_path / "home")) == {}


def test_a_decided_week_that_would_be_decided_otherwise_now_says_both(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    (row,) = home.store.read("promotion_decision", LAST_RUN).to_pylist()
    other = "reject" if row["outcome"] != "reject" else "hold"
    table = PROMOTION_DECISION.table([{**row, "outcome": other}])
    assert "which stands; now it" not in "\n".join(status_lines(home))
    home.store.publish(PROMOTION_DECISION, LAST_RUN, table, Provenance())
    line = f"  {LAST_RUN}  decided {row['outcome']}, which stands; now it would {other}"
    assert line in list(status_lines(home))
