"""Progress on the terminal and off it, and what a run tells the UI of each week."""

import io
import logging
from pathlib import Path

import dagster as dg
import pytest

from memloop_assets.orchestration.progress import ProgressPrinter
from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import FIRST, LAST_RUN, filled_home, finished_home, run_weeks_through_dagster


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, steps: list[tuple[int, str, bool]]) -> str:
    """Return what is printed for steps (number of three, outcome, is_failed) of one asset."""
    printer = ProgressPrinter(stream)
    for number, outcome, is_failed in steps:
        record = logging.LogRecord("memloop.progress", logging.INFO, "", 0, outcome, None, None)
        record.week_step = ("trajectories", IsoWeek(2026, number), number, 3, outcome, is_failed)
        printer.emit(record)
    printer.finish()
    return stream.getvalue()


STEPS = [(1, "5 rows", False), (2, "trajectories 2026-W02: broken", True), (3, "7 rows", False)]


def test_off_a_terminal_there_are_plain_lines_for_the_last_week_and_every_failed_one() -> None:
    lines = told(io.StringIO(), STEPS).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "trajectories 2026-W02 2/3 trajectories 2026-W02: broken",
        "trajectories 2026-W03 3/3 7 rows",
    ]
    assert all(line.isprintable() for line in lines)


def test_on_a_terminal_one_line_is_rewritten_week_by_week() -> None:
    text = told(Terminal(), STEPS)
    assert text.count("\n") == 2
    assert text.index("1/3") < text.index("2/3") < text.index("3/3")
    assert text.startswith("\r\033[K")
    assert text.endswith("\r\033[K"), "an open line is cleared at the end"


def test_a_long_outcome_does_not_wrap_the_line_that_is_rewritten() -> None:
    text = told(Terminal(), [(1, "x" * 500, False)])
    assert max(len(line) for line in text.split("\r\033[K")) <= 100


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dg.ExecuteInProcessResult:
    """Run one more week of a finished home."""
    folder = tmp_path_factory.mktemp("run") / "home"
    finished_home(folder)
    return run_weeks_through_dagster(folder, LAST_RUN.shift(1))


@pytest.mark.parametrize("name", WEEKLY_TABLES)
def test_a_week_shows_its_row_count_and_two_to_five_numbers_that_chart(
    run: dg.ExecuteInProcessResult, name: str
) -> None:
    (told_week,) = run.asset_materializations_for_node(name)
    assert told_week.partition == LAST_RUN.shift(1).key
    numbers = {key for key, value in told_week.metadata.items() if isinstance(value.value, int | float)}
    assert "dagster/row_count" in numbers
    assert 2 <= len(numbers - {"dagster/row_count"}) <= 5, numbers
    assert told_week.metadata["generation"].value


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("trajectory_quality", "tiers"),
        ("benchmark_results", "reward_against_cost"),
        ("promotion_decision", "reward_against_cost"),
        ("champion", "reward_over_weeks"),
    ],
)
def test_where_a_person_would_rather_look_there_is_a_picture(
    run: dg.ExecuteInProcessResult, name: str, shown: str
) -> None:
    (told_week,) = run.asset_materializations_for_node(name)
    assert "](data:image/png;base64,iVBOR" in str(told_week.metadata[shown].value)


def test_each_week_of_a_range_reports_its_own_numbers(tmp_path: Path) -> None:
    home = filled_home(tmp_path / "home")
    result = run_weeks_through_dagster(
        tmp_path / "home", FIRST, FIRST.shift(2), assets=["session_logs", "trajectories"]
    )
    found = {one.partition: one.metadata for one in result.asset_materializations_for_node("trajectories")}
    weeks = [FIRST.shift(index) for index in range(3)]
    assert list(found) == [week.key for week in weeks]
    for week in weeks:
        rows = home.store.read("trajectories", week)
        assert found[week.key]["dagster/row_count"].value == rows.num_rows
        assert found[week.key]["event_count"].value == sum(rows["event_count"].to_pylist())
