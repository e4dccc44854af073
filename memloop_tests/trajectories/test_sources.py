"""Log files before they are landed: which are found, what checking them tells, and the stamps of lines that have none."""

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memloop_assets.errors import BadInput
from memloop_assets.trajectories.sources import ReadOptions, check_file, fallback_stamp, find_logs
from memloop_assets.weeks import IsoWeek
from memloop_tests.trajectories.samples import NOON, WEEK, after, as_lines, logged


def file_at(path: Path, *records: object) -> Path:
    """Write a log of records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_lines(records))
    return path


def test_a_folder_stands_for_the_logs_below_it_in_order(tmp_path: Path) -> None:
    wanted = [file_at(tmp_path / name) for name in ("a.jsonl", "b/c.json", "b/d.jsonl")]
    file_at(tmp_path / "notes.txt")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert find_logs(tmp_path) == sorted(wanted)
    assert find_logs(wanted[0]) == [wanted[0]]


@pytest.mark.parametrize("name", ["missing.jsonl", "empty", "pipe"])
def test_a_path_that_names_no_log_is_refused_with_a_fix(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput) as refused:
        find_logs(tmp_path / name)
    assert refused.value.fix


def test_a_check_tells_what_would_be_read_and_what_not_and_why(tmp_path: Path) -> None:
    path = file_at(
        tmp_path / "session_2026-03-17.jsonl",
        logged("message", session_id="s"),
        b"",
        b"not json",
        {"type": "odd"},
        {"type": "odd"},
        logged("route", after(days=7)),
    )
    before = sorted(tmp_path.rglob("*"))
    report = check_file(path, ReadOptions())
    assert (report.status, report.line_count, report.rejected_count) == ("checked", 5, 3)
    assert report.events == Counter(message=1, route=1)
    assert report.reasons["unknown event type 'odd'"] == 2
    assert [item.line_number for item in report.rejected] == [3, 4, 5]
    assert {str(week): span.line_count for week, span in report.spans.items()} == {"2026-W12": 4, "2026-W13": 1}
    assert report.has_ids
    assert sorted(tmp_path.rglob("*")) == before


def test_of_many_rejected_lines_all_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    report = check_file(file_at(tmp_path / "bad.jsonl", *[b"bad"] * 50), ReadOptions())
    assert (report.rejected_count, len(report.rejected)) == (50, 20)


def test_a_check_says_in_words_what_the_log_lacks(tmp_path: Path) -> None:
    bare = check_file(file_at(tmp_path / "bare.jsonl", logged("message")), ReadOptions()).gaps()
    assert [gap.split(":")[0] for gap in bare] == ["no route events", "no outcome events", "no session_id or task_id"]
    full = [logged("route", task_id="t"), logged("outcome")]
    assert check_file(file_at(tmp_path / "full.jsonl", *full), ReadOptions()).gaps() == []


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    assert check_file(file_at(tmp_path / "a.jsonl"), ReadOptions()).status == "empty"
    assert check_file(file_at(tmp_path / "b.jsonl", b"", b"  "), ReadOptions()).line_count == 0


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="use one of native, tau-bench"):
        check_file(file_at(tmp_path / "a.jsonl", logged("message")), ReadOptions(format="xml"))


@pytest.mark.parametrize(
    ("name", "zone", "records", "expected"),
    [
        ("session_2026-03-17.jsonl", "UTC", [logged("message", after(days=3))], "2026-03-17T00:00:00Z"),
        ("session_2026-03-17.jsonl", "Asia/Tokyo", [], "2026-03-16T15:00:00Z"),
        ("session.jsonl", "UTC", [b"bad", logged("error", None), logged("message")], "2026-03-17T12:00:00Z"),
        ("session.jsonl", "UTC", [b"bad", logged("error", None)], "2026-02-03T04:05:06Z"),
        ("00010101.jsonl", "Asia/Tokyo", [b"bad"], "2026-02-03T04:05:06Z"),
    ],
)
def test_lines_without_any_stamp_lie_at_the_files_date_else_its_first_stamp_else_when_it_was_written(
    name: str, zone: str, records: list[object], expected: str, tmp_path: Path
) -> None:
    path = file_at(tmp_path / name, *records)
    written = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()
    os.utime(path, (written, written))
    assert fallback_stamp(path, ReadOptions(timezone=zone)) == datetime.fromisoformat(expected)


def test_naive_stamps_near_midnight_fall_in_the_week_that_utc_says(tmp_path: Path) -> None:
    path = file_at(tmp_path / "session_2026-03-16.jsonl", logged("message", "2026-03-16T00:30:00"))
    assert list(check_file(path, ReadOptions(timezone="Europe/Berlin")).spans) == [IsoWeek(2026, 11)]
    assert list(check_file(path, ReadOptions()).spans) == [WEEK]
    assert IsoWeek.of(NOON) == WEEK
