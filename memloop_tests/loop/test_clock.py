"""A clock that was set back between two runs: no decided week is opened again, the ledger's chain holds, and no line is lost."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from memloop_assets.promotion.attempts import Attempts
from memloop_assets.routing.versions import first_broken_row
from memloop_assets.trajectories.sources import ReadOptions
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    LONG_AFTER,
    attempt,
    champion_of,
    decision_of,
    finished_home,
    manifests,
    open_at,
    run_weeks_through_dagster,
    write_log,
)

GATE = ["promotion_decision", "champion", "training_report"]


@pytest.mark.parametrize("back", [timedelta(days=1), timedelta(weeks=1), timedelta(days=365)])
def test_a_decided_week_stays_decided_and_its_tables_the_same_when_the_clock_goes_back(
    tmp_path: Path, back: timedelta
) -> None:
    home = finished_home(tmp_path / "home")
    before = manifests(home), home.ledger.rows(), champion_of(home)
    set_back = (LAST_RUN.end - back).isoformat()
    assert run_weeks_through_dagster(tmp_path / "home", FIRST, LAST_RUN, assets=GATE, now=set_back).success
    assert (manifests(home), home.ledger.rows(), champion_of(home)) == before


def test_a_week_decided_under_a_clock_that_went_back_follows_in_the_ledger_and_in_the_count_of_attempts(
    tmp_path: Path,
) -> None:
    home, week = finished_home(tmp_path / "home"), LAST_RUN.shift(1)
    assert run_weeks_through_dagster(tmp_path / "home", LAST_RUN, week, now=week.end.isoformat()).success
    rows = home.ledger.rows()
    assert [row.week for row in rows[-2:]] == [str(LAST_RUN), str(week)]
    assert datetime.fromisoformat(rows[-1].at) < datetime.fromisoformat(rows[-2].at)
    assert first_broken_row(rows) is None
    assert decision_of(home, week)["champion_before"] == rows[-2].to_version
    attempts = Attempts(home.state, home.places.training_reports).rows(LAST_RUN)
    assert [row.number for row in attempts] == [1, 2]
    assert attempts[1].at < attempts[0].at


def test_a_log_that_goes_on_under_a_clock_that_went_back_is_read_on(tmp_path: Path) -> None:
    path = write_log(tmp_path / "logs" / "session.jsonl", attempt(FIRST.shift(1).start, 1, "First request"))
    landing = open_at(tmp_path).landing
    assert landing.ingest(path, ReadOptions()).line_count == 4
    stamp = datetime.fromisoformat(LONG_AFTER).timestamp()
    more = write_log(tmp_path / "more.jsonl", attempt(FIRST.start, 2, "Second request"))  # stamped a week earlier
    path.write_bytes(path.read_bytes() + more.read_bytes())
    os.utime(path, (stamp - 365 * 86400, stamp - 365 * 86400))
    report = open_at(tmp_path, "2025-06-01T00:00:00+00:00").landing.ingest(path, ReadOptions())
    assert (report.status, report.line_count, report.weeks) == ("grown", 4, {FIRST})
