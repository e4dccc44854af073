"""What a decision moves, and what it never moves: the champion, the ledger, past weeks."""

from pathlib import Path

import pytest

from memloop_assets.client import load_champion
from memloop_assets.promotion.vetoes import VETOES
from memloop_assets.routing.versions import BUILT_IN, first_broken_row
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    attempt,
    champion_of,
    decision_of,
    decisions,
    filled_home,
    finished_home,
    run_weeks_through_dagster,
    write_log,
)

WEEKS = list(weeks_between(FIRST, LAST_RUN))


def test_only_a_promoted_week_changes_what_agents_load(tmp_path: Path) -> None:
    home = filled_home(tmp_path / "home")
    seen = []
    for week in WEEKS[:4]:
        assert run_weeks_through_dagster(tmp_path / "home", week).success
        seen.append((decision_of(home, week), champion_of(home) or {}))
    assert {row["outcome"] for row, _ in seen} >= {"promote", "reject"}
    live, epoch = BUILT_IN, 0
    for row, champion in seen:
        is_promoted = row["outcome"] == "promote"
        assert row["champion_before"] == live
        assert row["champion_after"] == (row["challenger"] if is_promoted else live)
        live, epoch = row["champion_after"], epoch + is_promoted
        assert champion["epoch"] == epoch
        assert champion["policy"] == ("router" if epoch else BUILT_IN)
        assert champion["promoted_week"] == (row["week"] if is_promoted else champion["promoted_week"])
        assert champion["version"] == (live if epoch else champion["version"])
    assert load_champion(home.places.data).version == live


def test_every_week_that_was_not_promoted_leaves_the_ledgers_champion_alone(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    rows = home.ledger.rows()
    assert first_broken_row(rows) is None
    assert [row.action for row in rows] == list(decisions(home).values())
    for row in rows:
        assert (row.from_version != row.to_version) == (row.action == "promote")
        assert home.ledger.champion_as_of(IsoWeek.parse(row.week)) == row.from_version
        assert home.ledger.champion_as_of(IsoWeek.parse(row.week).shift(1)) == row.to_version
        assert row.evidence_hash == home.store.generation("promotion_decision", IsoWeek.parse(row.week))


def decided_again(folder: Path, week: IsoWeek, **policy: object) -> str:
    """Decide a week again under another policy and return what the run says became of it."""
    ops = {"promotion_decision": {"config": policy}}
    result = run_weeks_through_dagster(folder, week, assets=["promotion_decision"], ops=ops)
    assert result.success
    (told,) = result.asset_materializations_for_node("promotion_decision")
    return f"{told.metadata['outcome'].value}: {told.metadata['ledger'].value}"


def test_a_past_week_decided_again_says_what_it_would_decide_now_and_moves_nothing(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    rows, champion = home.ledger.rows(), home.places.champion.read_bytes()
    promoted = next(row for row in rows if row.action == "promote")
    week = IsoWeek.parse(promoted.week)
    said = decided_again(tmp_path / "home", week, required_task_count=100_000)
    assert said.startswith("hold: The first decision stands: promote.")
    assert decision_of(home, week)["outcome"] == "hold"
    assert run_weeks_through_dagster(tmp_path / "home", week, assets=["champion"]).success
    assert home.ledger.rows() == rows
    assert home.places.champion.read_bytes() == champion
    assert decided_again(tmp_path / "home", week.shift(1), required_task_count=100_000).startswith("hold")
    assert decision_of(home, week.shift(1))["champion_before"] == promoted.to_version, "it feeds no later week"


def test_a_week_that_was_not_promoted_and_would_be_now_promotes_nobody(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    before = champion_of(home)
    kept = {row.week: row.action for row in home.ledger.rows() if row.action != "promote"}
    lenient = {"cost_weight": 100.0, "reward_margin": 1.0, "min_reward_delta": -1.0, "max_error_rate_increase": 1.0}
    said = {
        week: decided_again(tmp_path / "home", IsoWeek.parse(week), confidence=0.8, vetoes_off=list(VETOES), **lenient)
        for week in kept
    }
    would = [week for week, told in said.items() if told.startswith("promote: ")]
    assert would, "the world of these tests has no week that a lenient gate would promote"
    assert all(said[week].startswith(f"promote: The first decision stands: {kept[week]}.") for week in would)
    assert run_weeks_through_dagster(tmp_path / "home", IsoWeek.parse(would[-1]), assets=["champion"]).success
    assert champion_of(home) == before


def test_late_lines_change_the_tables_of_a_decided_week_and_not_its_decision(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    rows, champion, week = home.ledger.rows(), home.places.champion.read_bytes(), WEEKS[3]
    tables = ("session_logs", "trajectories", "router_samples", "dataset_snapshot", "router_checkpoint")
    before = {name: home.store.generation(name, week) for name in tables}
    late = [line for n in range(30) for line in attempt(week.start, n, f"A late request of kind {n}", reward=0.0)]
    home.landing.ingest(write_log(tmp_path / f"late_{week.start:%Y-%m-%d}.jsonl", late), ReadOptions())
    result = run_weeks_through_dagster(tmp_path / "home", week)
    assert result.success
    assert all(home.store.generation(name, week) != generation for name, generation in before.items())
    (told,) = result.asset_materializations_for_node("promotion_decision")
    assert str(told.metadata["ledger"].value).startswith(f"The first decision stands: {rows[3].action}.")
    assert told.metadata["outcome"].value == decision_of(home, week)["outcome"]
    assert home.ledger.rows() == rows
    assert home.places.champion.read_bytes() == champion


@pytest.mark.parametrize("offset", [0, 2])
def test_a_replayed_week_is_compared_with_the_champion_of_its_own_time(tmp_path: Path, offset: int) -> None:
    home = finished_home(tmp_path / "home")
    row = home.ledger.rows()[offset]
    assert home.ledger.champion_as_of() != row.from_version
    assert run_weeks_through_dagster(tmp_path / "home", WEEKS[offset], assets=["promotion_decision"]).success
    assert decision_of(home, WEEKS[offset])["champion_before"] == row.from_version
