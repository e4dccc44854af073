"""What is told of quarantined lines: file, line and reason, in order, and nothing of what the lines hold."""

from pathlib import Path

import pytest

from memloop_assets.cli import main
from memloop_assets.store import Provenance
from memloop_assets.trajectories.quarantine import SHOWN_LINES, quarantine_lines, quarantine_page
from memloop_assets.trajectories.tables import QUARANTINED_LINES
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import FIRST, attempt, open_at, run_weeks_through_dagster, write_log, write_settings

OWNER = "ann@example.org"


def rows(count: int, week: IsoWeek = FIRST, reason: str = "not JSON") -> list[dict[str, object]]:
    """Return quarantined lines of two files, last line first."""
    return [
        {
            "week": str(week), "source_id": f"s{number % 2}", "file_name": f"agent-{number % 2}.jsonl",
            "line_number": number + 1, "reason": reason, "byte_count": 9, "raw_text": OWNER,
        }
        for number in reversed(range(count))
    ]  # fmt: skip


def test_the_page_lists_the_first_lines_by_file_and_line_and_says_how_to_list_the_others() -> None:
    lines = quarantine_page(QUARANTINED_LINES.table(rows(SHOWN_LINES + 3)), FIRST).splitlines()
    assert lines[:4] == [
        "| file | line | reason |",
        "|---|---|---|",
        "| agent-0.jsonl | 1 | not JSON |",
        "| agent-0.jsonl | 3 | not JSON |",
    ]
    assert len(lines) == 2 + SHOWN_LINES + 2
    assert lines[-1] == f"and 3 more: `memloop quarantine {FIRST}` lists all"
    assert quarantine_page(QUARANTINED_LINES.table([]), FIRST) == "none"
    whole = quarantine_page(QUARANTINED_LINES.table(rows(SHOWN_LINES)), FIRST)
    assert "more" not in whole


def test_a_reason_cannot_break_the_table_or_bring_markup() -> None:
    page = quarantine_page(QUARANTINED_LINES.table(rows(1, reason="a | b\n`c` <img src=x>")), FIRST)
    assert page.splitlines()[2:] == ["| agent-0.jsonl | 1 | a \\| b 'c' &lt;img src=x> |"]


def test_every_line_is_listed_and_weeks_that_are_not_built_are_named(tmp_path: Path) -> None:
    store, count = open_at(tmp_path).store, SHOWN_LINES + 3
    store.publish(QUARANTINED_LINES, FIRST, QUARANTINED_LINES.table(rows(count)), Provenance())
    listed = [*quarantine_lines(store, [FIRST, FIRST.shift(1)])]
    assert listed[0] == f"{FIRST}  agent-0.jsonl:1  not JSON"
    assert len(listed) == count + 2
    assert listed[-2] == f"{count} lines of 2 files, {FIRST}..{FIRST.shift(1)}"
    assert listed[-1] == f"not built: {FIRST.shift(1)}. Fix: memloop backfill {FIRST.shift(1)}..{FIRST.shift(1)}"
    assert [*quarantine_lines(store, [])] == ["no line is quarantined, no week"]


def test_the_ui_and_the_command_tell_where_to_mend_the_log_and_nothing_that_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(tmp_path)
    log = write_log(tmp_path / "logs" / "session_2026-01-05.jsonl", attempt(FIRST.start, 1, "Do it"))
    log.write_text(log.read_text() + f'{{"type":"{OWNER}"}}\n')
    assert main(["--home", str(tmp_path), "ingest", str(log)]) == 0
    result = run_weeks_through_dagster(tmp_path, FIRST, assets=["session_logs", "quarantined_lines"])
    (told,) = [
        event.materialization.metadata["lines"].value
        for event in result.all_events
        if event.is_step_materialization and "lines" in event.materialization.metadata
    ]
    capsys.readouterr()
    assert main(["--home", str(tmp_path), "quarantine"]) == 0
    said = capsys.readouterr().out
    assert "| session_2026-01-05.jsonl | 5 | " in str(told)
    assert f"{FIRST}  session_2026-01-05.jsonl:5  " in said
    assert said.endswith(f"1 lines of 1 files, {FIRST}..{FIRST}\n")
    assert OWNER not in f"{told}{said}"
