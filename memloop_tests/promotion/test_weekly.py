"""A week at the gate: decided from its evidence, recorded once, told in words and drawn."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from memloop_assets.errors import LedgerConflict
from memloop_assets.home import Home
from memloop_assets.promotion.evidence import Sources
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.promotion.weekly import DecidedWeek, decide, draw_history, record_first_decision
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.store import Provenance
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import FIRST, LAST_RUN, LONG_AFTER, finished_home, run_weeks_through_dagster

NOW = datetime.fromisoformat(LONG_AFTER)
NEXT = LAST_RUN.shift(1)
PNG = b"\x89PNG"


def sources_of(home: Home) -> Sources:
    places = home.places
    return Sources(
        home.store, home.ledger, places.router_versions, home.arm_prices, TrainingSettings(), home.first_week
    )


def decided(home: Home, week: IsoWeek, now: datetime = NOW, **policy: float) -> DecidedWeek:
    return decide(week, sources_of(home), PromotionPolicy(**policy), now)  # type: ignore[arg-type]  # its own fields


@pytest.mark.parametrize("week", list(weeks_between(FIRST, LAST_RUN)), ids=str)
def test_deciding_is_a_function_of_what_lies_there(tmp_path: Path, week: IsoWeek) -> None:
    home = finished_home(tmp_path / "home")
    (published,) = home.store.read("promotion_decision", week).to_pylist()
    assert dict(decided(home, week).row) == published
    assert dict(decided(home, week, datetime.fromisoformat("2031-01-01T00:00:00+00:00")).row) == published


def test_the_first_decision_of_a_closed_week_is_recorded_and_the_second_is_not(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    assert run_weeks_through_dagster(
        tmp_path / "home",
        NEXT,
        assets=[name for name in WEEKLY_TABLES if name not in ("promotion_decision", "training_report")],
    ).success
    count = len(home.ledger.rows())
    found = decided(home, NEXT)
    assert record_first_decision(found, sources_of(home), "e" * 32, NOW) == "Recorded in the ledger."
    row = home.ledger.rows()[-1]
    assert (row.week, row.action, row.evidence_hash) == (str(NEXT), found.decision.outcome, "e" * 32)
    assert row.reason == " ".join(found.decision.reasons)
    assert json.loads(row.numbers_json) == dict(found.decision.metrics)
    said = record_first_decision(decided(home, NEXT, required_task_count=10**6), sources_of(home), "f" * 32, NOW)
    assert said == f"The first decision stands: {row.action}. {row.reason}"
    assert len(home.ledger.rows()) == count + 1


def test_an_open_week_is_not_recorded(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    open_now = NEXT.start
    rows = home.ledger.rows()
    said = record_first_decision(decided(home, NEXT, open_now), sources_of(home), "e" * 32, open_now)
    assert said == "The week is open: nothing was recorded."
    assert home.ledger.rows() == rows


def test_a_champion_that_changed_while_the_week_was_decided_is_a_conflict(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    found = decided(home, NEXT)
    home.ledger.append_decision(
        NEXT.shift(-20),
        "promote",
        from_version="best-single-arm",
        to_version="another",
        evidence_hash="",
        numbers={},
        reason="",
        now=NOW,
    )
    assert home.ledger.champion_as_of(NEXT) == found.row["champion_before"], "later promotions still win the fold"
    other = DecidedWeek(NEXT, found.decision, found.found, {**found.row, "champion_before": "somebody else"})
    with pytest.raises(LedgerConflict):
        record_first_decision(other, sources_of(home), "e" * 32, NOW)


def test_a_decision_is_told_with_its_reasons_and_versions(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    found = decided(home, LAST_RUN)
    text = found.as_text()
    assert text.startswith(f"**{found.decision.outcome}** {LAST_RUN}\n")
    assert all(f"- {reason}" in text for reason in found.decision.reasons)
    assert str(found.row["challenger"]) in text


def test_a_decision_of_a_week_that_stands_otherwise_names_the_standing_one_first(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    week = next(IsoWeek.parse(row.week) for row in home.ledger.rows() if row.action == "promote")
    (standing,) = (row for row in home.ledger.rows() if row.week == str(week))
    held = decided(home, week, required_task_count=10**6)
    assert held.as_text().startswith(f"The ledger stands: **promote** {week}. Now it would hold.\n")
    assert f"after: `{standing.to_version}` by the ledger" in held.as_text()
    other = replace(
        decided(home, week), row={**held.row, "outcome": "promote", "challenger": "c2", "champion_after": "c2"}
    )
    assert "Now it would promote `c2`." in other.as_text()


def test_a_week_without_a_challenger_says_so(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    found = decided(home, LAST_RUN)
    assert replace(found, row={**found.row, "challenger": None}).as_text().endswith("challenger: none")


def test_a_decision_is_drawn_where_something_was_scored(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    assert (decided(home, LAST_RUN).picture() or b"").startswith(PNG)
    assert decided(home, LAST_RUN.shift(2)).picture() is None


def test_the_history_is_drawn_once_there_is_a_decision(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    weeks = list(weeks_between(FIRST, LAST_RUN))
    assert draw_history(home.store, [], home.ledger) is None
    drawn = draw_history(home.store, weeks, home.ledger)
    assert (drawn or b"").startswith(PNG)
    # A replay that would promote now is no promotion: the first decision stands.
    standing = next(row for row in home.ledger.rows() if row.action != "promote")
    (row,) = home.store.read("promotion_decision", IsoWeek.parse(standing.week)).to_pylist()
    changed = PROMOTION_DECISION.table([{**row, "outcome": "promote"}])
    home.store.publish(PROMOTION_DECISION, IsoWeek.parse(standing.week), changed, Provenance())
    assert draw_history(home.store, weeks, home.ledger) == drawn
