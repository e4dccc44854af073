"""Contract rows M1, M4 and M15 on the loop itself: the acceptance list, the three cases, the places.

Point 7 of M1, the report of every attempt, has its own row (M5) and its own issue; what is auditable without it is shown here.
"""

import json
import subprocess
from pathlib import Path

import pytest

from memloop_assets.client import load_champion
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.architecture.source_tree import ROOT
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    champion_of,
    decision_of,
    decisions,
    filled_home,
    finished_home,
    run_weeks_through_dagster,
)

WEEKS = list(weeks_between(FIRST, LAST_RUN))


def week_with(home_folder: Path, outcome: str) -> IsoWeek:
    found = decisions(finished_home(home_folder))
    return next(IsoWeek.parse(week) for week, decided in found.items() if decided == outcome)


def test_m01_1_the_trajectories_that_accumulated_since_are_found_by_their_week(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    assert all(home.store.read("trajectories", week).num_rows > 50 for week in WEEKS)
    ids = [set(home.store.read("trajectories", week)["trajectory_id"].to_pylist()) for week in WEEKS]
    assert not set.intersection(*ids), "a week brings new ones only"


def test_m01_2_the_dataset_is_made_of_those_that_may_teach(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    for week in WEEKS:
        trajectories = {row["trajectory_id"]: row for row in home.store.read("trajectories", week).to_pylist()}
        samples = home.store.read("router_samples", week).to_pylist()
        assert 0 < len(samples) < len(trajectories)
        for row in samples:
            source = trajectories[row["example_id"]]
            assert (row["arm"], row["reward"]) == (source["arm"], source["reward"])
            assert source["origin"] == "live"


def test_m01_3_a_challenger_is_trained_every_week_by_itself(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    rows = [home.store.read("router_checkpoint", week).to_pylist()[0] for week in WEEKS]
    assert [row["sample_count"] for row in rows] == sorted(row["sample_count"] for row in rows)
    assert len({row["version"] for row in rows}) == len(WEEKS)


def test_m01_4_challenger_and_champion_meet_on_the_same_fixed_benchmark(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    rows = [decision_of(home, week) for week in WEEKS]
    assert len({row["suite_fingerprint"] for row in rows}) == 1
    assert {row["task_count"] for row in rows} == {float(json.loads(rows[0]["metrics_json"])["holdout_task_count"])}
    assert all(row["champion_reward"] is not None and row["challenger_reward"] is not None for row in rows)


def test_m01_5_only_what_meets_the_thresholds_is_promoted(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    for week in WEEKS:
        row = decision_of(home, week)
        policy, numbers = json.loads(row["policy_json"]), json.loads(row["metrics_json"])
        is_met = (
            row["utility_delta_lower"] is not None
            and row["utility_delta_lower"] > 0
            and row["reward_delta_lower"] > -policy["reward_margin"]
            and row["reward_delta"] >= policy["min_reward_delta"]
            and numbers["error_rate_increase"] <= policy["max_error_rate_increase"]
            and numbers["task_count"] >= policy["required_task_count"]
        )
        assert (row["outcome"] == "promote") == is_met


def test_m01_6_every_promoted_router_is_kept_under_its_version(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    promoted = [row for row in home.ledger.rows() if row.action == "promote"]
    assert promoted
    for row in promoted:
        assert load_checkpoint(home.places.router_versions, row.to_version).version == row.to_version


def test_m01_7_a_decision_is_followed_back_to_the_log_line(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    row = home.ledger.rows()[-1]
    week = IsoWeek.parse(row.week)
    inputs = home.store.manifest("promotion_decision", week)["inputs"]
    snapshot = home.store.manifest("router_checkpoint", week)["inputs"][f"dataset_snapshot {week}"]
    assert home.store.generation("dataset_snapshot", week) == snapshot
    samples = home.store.manifest("dataset_snapshot", week)["inputs"][f"router_samples {FIRST}"]
    example = home.store.read("router_samples", FIRST, generation=samples).to_pylist()[0]
    (trajectory,) = [
        found
        for found in home.store.read("trajectories", FIRST).to_pylist()
        if found["trajectory_id"] == example["example_id"]
    ]
    lines = home.landing.path_of(trajectory["source_id"]).read_bytes().splitlines()
    first = json.loads(lines[trajectory["first_line"] - 1])
    assert first["content"] == example["task_text"]
    assert inputs[f"router_checkpoint {week}"] == home.store.generation("router_checkpoint", week)
    assert row.reason
    assert json.loads(row.numbers_json)["task_count"]


def test_m01_8_the_active_router_is_unchanged_when_the_challenger_loses(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    before, router = champion_of(home), load_champion(home.places.data)
    week = LAST_RUN.shift(1)
    assert run_weeks_through_dagster(tmp_path / "home", week).success
    row = decision_of(home, week)
    assert row["outcome"] == "reject"
    assert row["challenger"] != row["champion_after"]
    assert champion_of(home) == before
    assert load_champion(home.places.data).version == router.version


@pytest.mark.parametrize(("outcome", "is_saved"), [("reject", False), ("promote", True)])
def test_m04_a_cycle_of_the_loop_rejects_or_accepts_and_saves(tmp_path: Path, outcome: str, is_saved: bool) -> None:
    week = week_with(tmp_path / "known", outcome)
    home = finished_home(tmp_path / "home")
    row = home.ledger.decision_of(week)
    assert row is not None
    assert row.action == outcome
    assert (row.to_version == decision_of(home, week)["challenger"]) == is_saved
    assert row.reason, "accepted or rejected, it says why"


def test_m04_a_cycle_with_too_few_new_samples_is_skipped(tmp_path: Path) -> None:
    home = filled_home(tmp_path / "home")
    settings = tmp_path / "home" / "memloop.toml"
    settings.write_text(f"{settings.read_text()}\n[promotion]\nmin_new_samples = 1000\n")
    assert run_weeks_through_dagster(tmp_path / "home", FIRST).success
    row = decision_of(home, FIRST)
    assert (row["outcome"], row["champion_after"]) == ("skip", row["champion_before"])
    assert "1,000 are required" in row["why"]


@pytest.mark.parametrize("place", ["router_versions", "training_reports"])
def test_m15_routers_and_reports_lie_in_the_data_home_and_git_ignores_them(tmp_path: Path, place: str) -> None:
    home = finished_home(tmp_path / "home")
    folder: Path = getattr(home.places, place)
    assert folder == home.places.data / place.replace("_", "-")
    path = f"data/{folder.name}/0123456789abcdef/router.json"
    ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)  # noqa: S607  # git as it is found
    if ignored.returncode not in (0, 1):
        pytest.skip("this copy of the project is no git checkout")
    assert ignored.returncode == 0
