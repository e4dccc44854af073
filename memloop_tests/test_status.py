"""What ``memloop status`` tells: settings with their values, weeks, champion, and whatever does not stand well."""

from pathlib import Path

import sqlalchemy as sa

from memloop_assets.errors import InputFailed
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.report import report_page
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.state import LEDGER
from memloop_assets.status import decision_line, decision_lines, short_page, status_lines
from memloop_assets.store import Provenance
from memloop_tests.scenario import FIRST, LAST_RUN, decisions, finished_home, open_at


def test_every_setting_is_shown_with_its_value_also_where_it_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "memloop.toml").write_text("[promotion]\nmin_new_samples = 7\n")
    home = open_at(tmp_path)
    short = [*status_lines(home)]
    assert short[-2:] == ["  arms: none", "  [promotion] min_new_samples = 7"]
    text = "\n".join(status_lines(home, is_whole=True))
    assert '"min_new_samples": 7' in text
    assert '"required_task_count": 100' in text
    assert '"penalty"' in text
    assert '"retention_weeks": 26' in text


def test_a_full_home_tells_its_weeks_and_decisions(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    text = "\n".join(status_lines(home, is_whole=True))
    promoted = sum(outcome == "promote" for outcome in decisions(home).values())
    assert f"decided   5 weeks, {promoted} promoted" in text
    assert f"trajectories         5 weeks, newest {LAST_RUN}" in text
    assert f"tables    5 weeks, newest {LAST_RUN}: 12 tables" in [*status_lines(home)]
    assert "failed" not in text
    assert "is not as it was written" not in text


def test_a_failed_week_is_listed_with_its_reason(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    home.store.record_failure("sft_examples", LAST_RUN, InputFailed("trajectories", "it is gone", "bring it back"))
    assert any(
        line == f"  failed  sft_examples {LAST_RUN}: trajectories: it is gone. Fix: bring it back"
        for line in status_lines(home)
    )


def test_a_home_in_which_much_fails_still_fits_on_a_screen_and_all_of_it_is_told_when_asked_for(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    for table in ("router_checkpoint", "promotion_decision"):
        for number in range(30):
            home.store.record_failure(table, FIRST.shift(number), InputFailed("it", "is gone", "bring it back"))
    short, whole = [*status_lines(home)], [*status_lines(home, is_whole=True)]
    assert len(short) <= 40
    assert max(map(len, short)) < 200
    assert sum(line.startswith("  failed") for line in short) == 5
    assert "  and 55 more: memloop status --all" in short
    assert sum(line.startswith("  failed") for line in whole) == 60
    assert not any("more: " in line for line in whole)


def test_a_ledger_that_was_edited_is_told(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    with home.state.transaction() as connection:
        names = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in names:  # they keep the ledger append-only; who edits a database file can drop them
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
        connection.execute(sa.update(LEDGER).where(LEDGER.c.week == str(LAST_RUN)).values(reason="because"))
    fix = "restore data/state.sqlite from a backup"
    assert f"ledger    row 5 ({LAST_RUN}) is not as it was written. Fix: {fix}" in list(status_lines(home))


def test_a_decided_week_is_one_line_and_an_undecided_one_says_so(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    _heading, *lines = decision_lines(home, FIRST, LAST_RUN.shift(1))
    assert [line.split()[1] for line in lines[:-1]] == list(decisions(home).values())
    assert all("\n" not in line for line in lines)
    assert lines[-1] == f"{LAST_RUN.shift(1)}  -        it was never materialised"
    assert home.ledger.champion_as_of() in decision_line(home, LAST_RUN)


def test_a_report_fits_on_a_screen_and_says_how_to_see_the_rest(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    attempts = Attempts(home.state, home.places.training_reports)
    page = report_page(attempts.get_report(f"{LAST_RUN}.1"))
    short = short_page(page, f"{LAST_RUN}.1")
    assert page.count("\n## ") == 5
    assert [line for line in short.splitlines() if line.startswith("## ")] == ["## Why", "## What was measured"]
    assert page.startswith(short.partition("\n\nLeft out")[0])
    assert short.count("\n") <= 40
    assert f"controls, other tests, where it comes from. memloop report {LAST_RUN}.1 --all prints everything" in short
    brief = "# 2026-W02, attempt 1: skip\n\n## Why\n\n- It was.\n\n## Where it comes from\n\nFrom logs.\n"
    assert short_page(brief, "2026-W02.1") == brief


def test_a_week_that_would_be_decided_otherwise_shows_the_standing_decision_and_below_it_the_other(
    tmp_path: Path,
) -> None:
    home = finished_home(tmp_path / "home")
    (row,) = home.store.read("promotion_decision", LAST_RUN).to_pylist()
    (standing,) = (of for of in home.ledger.rows() if of.week == str(LAST_RUN))
    assert standing.action != "promote"
    now = {**row, "outcome": "promote", "champion_after": "c2", "utility_delta": 0.25, "utility_delta_lower": 0.125}
    home.store.publish(PROMOTION_DECISION, LAST_RUN, PROMOTION_DECISION.table([now]), Provenance())
    stands, would = decision_line(home, LAST_RUN).splitlines()
    assert stands.startswith(f"{LAST_RUN}  {standing.action:<7}  ")
    assert standing.to_version in stands
    assert f"{row['utility_delta']:+.4f} [" in stands
    assert would.split()[:6] == ["would", "now", "promote", "+0.2500", "[+0.1250]", "c2"]
