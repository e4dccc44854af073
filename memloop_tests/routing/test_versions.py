"""The ledger: the champion of a week is a fold over earlier weeks, the first decision is final, and no race or edit goes unseen."""

import sqlite3
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from memloop_assets.errors import LedgerConflict
from memloop_assets.routing.versions import (
    BUILT_IN,
    GENESIS,
    Ledger,
    LedgerRow,
    first_broken_row,
    fold_champion,
)
from memloop_assets.state import State
from memloop_assets.weeks import IsoWeek
from memloop_tests.writers import decide_weeks, run_at_once

NOW = datetime(2026, 6, 1, 2, tzinfo=timezone(timedelta(hours=2)))
FIRST = IsoWeek(2026, 2)


def open_ledger(folder: Path) -> Ledger:
    return Ledger(State(folder / "state.sqlite"))


def decide(ledger: Ledger, week: IsoWeek, to_version: str | None = None, champion: str | None = None) -> LedgerRow:
    """Append a decision: a promotion of the version named, or a hold."""
    before = champion or ledger.champion_as_of(week)
    return ledger.append_decision(
        week,
        "promote" if to_version else "hold",
        from_version=before,
        to_version=to_version or before,
        evidence_hash="e" * 32,
        numbers={"delta": 0.1, "tasks": 500},
        reason="because",
        now=NOW,
    )


def test_before_the_first_promotion_the_built_in_policy_is_champion(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    assert ledger.rows() == []
    assert ledger.champion_as_of() == ledger.champion_as_of(FIRST) == BUILT_IN
    decide(ledger, FIRST)
    assert ledger.champion_as_of() == ledger.champion_as_of(FIRST.shift(50)) == BUILT_IN


def test_a_row_keeps_what_was_decided(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    row = decide(ledger, FIRST, "r1")
    assert ledger.rows() == [row]
    facts = asdict(row)
    assert len(facts.pop("row_hash")) == 64
    assert facts == {
        "seq": 1,
        "epoch": 1,
        "week": "2026-W02",
        "action": "promote",
        "from_version": BUILT_IN,
        "to_version": "r1",
        "evidence_hash": "e" * 32,
        "numbers_json": '{"delta": 0.1, "tasks": 500}',
        "actor": "gate",
        "reason": "because",
        "at": "2026-06-01T00:00:00+00:00",
        "prev_hash": GENESIS,
    }
    assert decide(ledger, FIRST.shift(1)).prev_hash == row.row_hash
    assert ledger.decision_of(FIRST) == row
    assert ledger.decision_of(FIRST.shift(2)) is None


def test_a_promotion_counts_from_the_week_after_it(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    decide(ledger, FIRST, "r1")
    decide(ledger, FIRST.shift(1))
    decide(ledger, FIRST.shift(2), "r2")
    champions = [ledger.champion_as_of(FIRST.shift(distance)) for distance in range(-1, 5)]
    assert champions == [BUILT_IN, BUILT_IN, "r1", "r1", "r2", "r2"]
    assert ledger.champion_as_of() == "r2"


def test_an_earlier_week_decided_later_is_folded_where_it_belongs(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    decide(ledger, FIRST.shift(5), "late")
    decide(ledger, FIRST.shift(6))
    backfilled = decide(ledger, FIRST.shift(1), "early")
    assert backfilled.from_version == BUILT_IN
    champions = [ledger.champion_as_of(FIRST.shift(distance)) for distance in range(8)]
    assert champions == [BUILT_IN, BUILT_IN, *["early"] * 4, "late", "late"]
    assert ledger.champion_as_of() == "late"


def test_weeks_fold_in_the_order_of_time_across_a_long_year(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for week, version in ((IsoWeek(2027, 1), "third"), (IsoWeek(2026, 53), "second"), (IsoWeek(2026, 9), "first")):
        decide(ledger, week, version)
    weeks = (IsoWeek(2026, 9), IsoWeek(2026, 10), IsoWeek(2026, 53), IsoWeek(2027, 1), IsoWeek(2027, 2))
    assert [ledger.champion_as_of(week) for week in weeks] == [BUILT_IN, "first", "first", "second", "third"]


def test_within_a_week_the_later_row_wins() -> None:
    facts = {"action": "", "evidence_hash": "", "numbers_json": "", "actor": "", "reason": "", "at": ""}
    hashes = {"prev_hash": "", "row_hash": ""}
    first = LedgerRow(seq=1, epoch=1, week="2026-W02", from_version=BUILT_IN, to_version="r1", **facts, **hashes)
    second = LedgerRow(seq=2, epoch=2, week="2026-W02", from_version="r1", to_version=BUILT_IN, **facts, **hashes)
    assert fold_champion([second, first]) == fold_champion([first, second]) == BUILT_IN
    assert fold_champion([first]) == "r1"


def test_the_first_decision_of_a_week_is_final(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    first = decide(ledger, FIRST, "r1")
    for again in ("r1", "r2", None):
        with pytest.raises(
            LedgerConflict, match=r"ledger 2026-W02: this week is decided already.*first decision stands"
        ):
            decide(ledger, FIRST, again)
    assert ledger.rows() == [first]


def test_a_decision_against_a_champion_that_is_gone_is_refused(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    first = decide(ledger, FIRST, "r1")
    with pytest.raises(LedgerConflict, match=r"its champion is r1, not best-single-arm. Fix: decide the week again"):
        decide(ledger, FIRST.shift(1), "r2", champion=BUILT_IN)
    assert ledger.rows() == [first]
    assert decide(ledger, FIRST.shift(1), "r2", champion="r1").seq == 2


def test_the_epoch_counts_changes_and_nothing_else(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    promoted = ["r1", None, None, "r2", "r2", "r1", None]
    rows = [decide(ledger, FIRST.shift(distance), version) for distance, version in enumerate(promoted)]
    assert [row.epoch for row in rows] == [1, 1, 1, 2, 2, 3, 3]
    assert [row.seq for row in rows] == list(range(1, 8))


# races


def test_eight_processes_that_decide_the_same_weeks_lose_and_double_nothing(tmp_path: Path) -> None:
    weeks = [str(FIRST.shift(distance)) for distance in range(10)]
    won = run_at_once(decide_weeks, tmp_path / "state.sqlite", weeks, count=8)
    rows = open_ledger(tmp_path).rows()
    assert sorted(week for weeks_won in won for week in weeks_won) == weeks
    assert sorted(row.week for row in rows) == weeks
    winners = {week: number for number, weeks_won in enumerate(won) for week in weeks_won}
    assert {row.week: row.to_version for row in rows} == {week: f"challenger-{winners[week]}-{week}" for week in weeks}
    assert [row.seq for row in rows] == [row.epoch for row in rows] == list(range(1, 11))
    assert first_broken_row(rows) is None


# edits


@pytest.fixture
def five_rows(tmp_path: Path) -> Ledger:
    ledger = open_ledger(tmp_path)
    for distance, version in enumerate(["r1", None, "r2", None, "r3"]):
        decide(ledger, FIRST.shift(distance), version)
    return ledger


def tamper(folder: Path, statement: str) -> None:
    """Change the table as one would who has the file: the triggers are dropped first."""
    connection = sqlite3.connect(folder / "state.sqlite")
    connection.executescript("DROP TRIGGER ledger_refuses_update; DROP TRIGGER ledger_refuses_delete;")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_an_untouched_ledger_holds(five_rows: Ledger) -> None:
    assert first_broken_row(five_rows.rows()) is None
    assert first_broken_row([]) is None


@pytest.mark.parametrize(
    "change",
    [
        *("epoch = 9", "week = '2026-W40'", "action = 'hold'", "from_version = 'x'", "to_version = 'x'"),
        *("evidence_hash = 'x'", "numbers_json = '{}'", "actor = 'me'", "reason = 'x'", "at = 'x'"),
        *("prev_hash = row_hash", "row_hash = 'x'"),
    ],
)
@pytest.mark.parametrize("seq", [1, 3, 5])
def test_an_edited_row_is_found(tmp_path: Path, five_rows: Ledger, change: str, seq: int) -> None:
    tamper(tmp_path, f"UPDATE ledger SET {change} WHERE seq = {seq}")  # noqa: S608  # this test's own words
    broken = first_broken_row(five_rows.rows())
    assert broken is not None
    assert broken.seq == seq


def test_a_row_taken_out_of_the_middle_is_found_at_the_one_after_it(tmp_path: Path, five_rows: Ledger) -> None:
    tamper(tmp_path, "DELETE FROM ledger WHERE seq = 2")
    broken = first_broken_row(five_rows.rows())
    assert broken is not None
    assert broken.seq == 3


def test_rows_that_changed_places_are_found(tmp_path: Path, five_rows: Ledger) -> None:
    tamper(tmp_path, "UPDATE ledger SET seq = 30 WHERE seq = 2")
    assert [row.seq for row in five_rows.rows()] == [1, 3, 4, 5, 30]
    broken = first_broken_row(five_rows.rows())
    assert broken is not None
    assert broken.seq == 3


def test_a_row_slipped_in_at_the_end_is_found(tmp_path: Path, five_rows: Ledger) -> None:
    tamper(
        tmp_path,
        "INSERT INTO ledger SELECT 6, 4, '2026-W07', action, to_version, 'mine', evidence_hash, numbers_json, actor, reason, at, "
        "row_hash, 'x', '2026-W07' FROM ledger WHERE seq = 5",
    )
    assert five_rows.champion_as_of() == "mine"
    broken = first_broken_row(five_rows.rows())
    assert broken is not None
    assert broken.seq == 6


# any sequence of decisions, against a model of a few lines


class LedgerMachine(RuleBasedStateMachine):
    """Decides weeks in any order and compares with a dictionary of promotions."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.state = State(self.folder / f"{id(self)}.sqlite")
        self.ledger = Ledger(self.state)
        self.decided: dict[IsoWeek, str | None] = {}
        self.change_count = 0

    def champion(self, week: IsoWeek) -> str:
        promoted = [version for earlier, version in sorted(self.decided.items()) if earlier < week and version]
        return promoted[-1] if promoted else BUILT_IN

    @rule(distance=st.integers(0, 8), version=st.sampled_from([None, "r1", "r2", "r3"]))
    def decide_a_week(self, distance: int, version: str | None) -> None:
        week = FIRST.shift(distance)
        before = self.champion(week)
        if week in self.decided:
            with pytest.raises(LedgerConflict):
                decide(self.ledger, week, version, before)
            return
        row = decide(self.ledger, week, version, before)
        self.change_count += int(version is not None and version != before)
        self.decided[week] = version if version != before else None
        assert row.epoch == self.change_count

    @precondition(lambda self: len(self.decided) < 9)
    @rule(distance=st.integers(0, 8))
    def decide_against_a_champion_that_never_was(self, distance: int) -> None:
        with pytest.raises(LedgerConflict):
            decide(self.ledger, FIRST.shift(distance), "r1", "never")

    @invariant()
    def agrees_with_the_model(self) -> None:
        rows = self.ledger.rows()
        assert [row.seq for row in rows] == list(range(1, len(self.decided) + 1))
        assert first_broken_row(rows) is None
        for distance in range(10):
            week = FIRST.shift(distance)
            assert self.ledger.champion_as_of(week) == self.champion(week)
        assert self.ledger.champion_as_of() == self.champion(FIRST.shift(100))

    def teardown(self) -> None:
        self.state.close()


def test_any_order_of_decisions_agrees_with_a_simple_model(tmp_path: Path) -> None:
    machine = type("Machine", (LedgerMachine,), {"folder": tmp_path})
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=15))
