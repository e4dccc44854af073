"""A replay is a replay: however weeks are run, and run again, the same logs give the same tables and the same decisions."""

from pathlib import Path

import pytest

from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    WORLD,
    attempt,
    champion_of,
    decisions,
    filled_home,
    finished_home,
    import_benchmark,
    ledger_of,
    manifests,
    open_at,
    run_weeks_through_dagster,
    write_log,
    write_settings,
)

WEEKS = list(weeks_between(FIRST, LAST_RUN))
RUNS = {
    "week by week": [(week, week) for week in WEEKS],
    "in two halves": [(WEEKS[0], WEEKS[1]), (WEEKS[2], WEEKS[-1])],
}


def test_the_world_of_these_tests_has_something_to_lose(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    outcomes = decisions(home)
    assert list(outcomes) == [str(week) for week in WEEKS]
    assert {"promote", "reject"} <= set(outcomes.values())
    filled = set(WEEKLY_TABLES) - {"preference_pairs"}  # the world asks few tasks twice
    assert all(home.store.read(name, WEEKS[2]).num_rows for name in filled)


@pytest.mark.parametrize("how", RUNS)
def test_weeks_run_one_by_one_or_in_halves_give_what_one_range_gives(tmp_path: Path, how: str) -> None:
    whole = finished_home(tmp_path / "whole")
    home = filled_home(tmp_path / "apart")
    for first, last in RUNS[how]:
        assert run_weeks_through_dagster(tmp_path / "apart", first, last).success
    assert manifests(home) == manifests(whole)
    assert ledger_of(home) == ledger_of(whole)
    assert champion_of(home) == champion_of(whole)


@pytest.mark.parametrize("week", [WEEKS[0], WEEKS[2], WEEKS[-1]], ids=str)
def test_any_week_run_again_gives_the_same_tables_and_moves_nothing(tmp_path: Path, week: IsoWeek) -> None:
    home = finished_home(tmp_path / "home")
    tables, rows, champion = manifests(home), home.ledger.rows(), home.places.champion.read_bytes()
    assert run_weeks_through_dagster(tmp_path / "home", week, now="2026-09-09T12:00:00+00:00").success
    assert manifests(home) == tables
    assert home.ledger.rows() == rows
    assert home.places.champion.read_bytes() == champion


def test_a_fresh_home_elsewhere_that_takes_in_the_files_in_reverse_gives_the_same_tables(tmp_path: Path) -> None:
    whole = finished_home(tmp_path / "whole")
    folder = tmp_path / "elsewhere" / "home"
    write_settings(folder)
    home = open_at(folder)
    (tmp_path / "whole" / "logs").rename(tmp_path / "sessions")
    for path in sorted((tmp_path / "sessions").iterdir(), reverse=True):
        home.landing.ingest(path, ReadOptions())
    import_benchmark(home, WORLD)
    assert run_weeks_through_dagster(folder, WEEKS[0], WEEKS[2]).success
    expected = {name: found for name, found in manifests(whole).items() if name[-8:] <= str(WEEKS[2])}
    assert manifests(home) == expected
    assert ledger_of(home) == ledger_of(whole)[:3]


def test_files_of_several_agents_give_the_same_trajectories_in_whatever_order_they_come(tmp_path: Path) -> None:
    logs = [
        write_log(
            tmp_path / agent / f"session_{FIRST.start:%Y-%m-%d}.jsonl",
            [line for number in range(3) for line in attempt(FIRST.start, number, f"Request {number} to {agent}")],
        )
        for agent in ("north", "south")
    ]
    found = []
    for name, order in (("one", logs), ("other", logs[::-1])):
        write_settings(tmp_path / name)
        home = open_at(tmp_path / name)
        for path in order:
            home.landing.ingest(path, ReadOptions())
        assert run_weeks_through_dagster(tmp_path / name, FIRST, assets=["session_logs", "trajectories"]).success
        assert home.store.read("trajectories", FIRST).num_rows == 6
        found.append(manifests(home))
    assert found[0] == found[1]
