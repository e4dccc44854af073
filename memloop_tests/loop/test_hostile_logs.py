"""A folder of hostile logs through the command line and the loop: one line per mistake, no traceback, and no line lost."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from memloop_assets.cli import main
from memloop_assets.home import Home
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import FIRST, attempt, open_at, run_weeks_through_dagster, write_log

TABLES = ("session_logs", "trajectories", "quarantined_lines", "trajectory_quality")
STAMP = b'"timestamp":"2026-01-06T10:00:00Z"'
MEGABYTES = b"x" * 5_000_000


def message(content: bytes) -> bytes:
    return b'{"type":"message","role":"user","content":"' + content + b'",' + STAMP + b"}\n"


class Hostile(NamedTuple):
    """A hostile file: how many of its lines are events all the same, and why the others are not."""

    name: str
    content: bytes
    event_count: int
    reason: str


HOSTILE = [
    Hostile("bom", b"\xef\xbb\xbf" + message(b"after a BOM"), 1, ""),
    Hostile("utf8", message(b"caf\xe9") + message(b"caf\xc3\xa9"), 1, "invalid UTF-8 at byte 46"),
    Hostile("nan", b'{"type":"outcome","reward":NaN,' + STAMP + b"}\n", 0, "NaN or Infinity"),
    Hostile("infinity", b'{"type":"outcome","cost_usd":-Infinity}\n', 0, "NaN or Infinity"),
    Hostile("two-on-a-line", message(b"a").strip() + message(b"b"), 0, "two objects on one line"),
    Hostile("half-written", message(b"whole") + b'{"type":"message","role":"us', 1, "cut off"),
    Hostile("long", message(MEGABYTES), 1, ""),
    Hostile("long-and-invalid", message(MEGABYTES)[:-3] + b"\n" + message(b"next"), 1, "cut off"),
    Hostile("no-object", b'[1, 2]\n"text"\nnull\n', 0, "not an object"),
    Hostile("blank-lines", b"\n  \n" + message(b"between") + b"\r\n\n", 1, ""),
    Hostile("nul", message(b"a")[:-3] + b"\x00\n", 0, "a NUL byte"),
    Hostile("deep", message(b"a").replace(b'"a"', b"[" * 600 + b"]" * 600), 0, "nested deeper"),
    Hostile("deep-enough", message(b"a").replace(b'"a"', b"[" * 200 + b"]" * 200), 1, ""),
    Hostile("far-away", message(b"a").replace(b"2026-01-06", b"9999-12-31"), 1, ""),
    Hostile("not-json", b"not json\n{}\n", 0, "no event type"),
    Hostile("bad-reward", b'{"type":"outcome","reward":7}\n', 0, "reward 7"),
    Hostile("bad-stamp", message(b"when?").replace(STAMP, b'"timestamp":"yesterday"'), 1, ""),
]


def write_hostile(folder: Path) -> None:
    """Write every hostile file of the list into a folder of its own kind, an empty one and a directory named like a log."""
    for hostile in HOSTILE:
        (folder / hostile.name).mkdir(parents=True)
        (folder / hostile.name / "session_2026-01-06.jsonl").write_bytes(hostile.content)
    (folder / "session_2026-01-07.jsonl").write_bytes(b"")
    (folder / "session_2026-01-08.jsonl").mkdir()


def non_blank(content: bytes) -> int:
    return sum(bool(line.strip(b" \t\r\n")) for line in content.split(b"\n"))


def accounted_lines(home: Home, weeks: Iterable[IsoWeek], duplicate_count: int = 0) -> int:
    """Return the events in trajectories and the quarantined lines of some weeks, and the duplicates that were told."""
    events = quarantined = 0
    for week in weeks:
        events += sum(home.store.read("trajectories", week)["event_count"].to_pylist())
        quarantined += home.store.read("quarantined_lines", week).num_rows
    return events + quarantined + duplicate_count


def test_a_folder_of_hostile_logs_loses_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_hostile(tmp_path / "logs")
    assert main(["--home", str(tmp_path / "home"), "ingest", str(tmp_path / "logs")]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "session_2026-01-07.jsonl: empty" in said.out
    assert run_weeks_through_dagster(tmp_path / "home", FIRST, assets=TABLES).success
    home = open_at(tmp_path / "home")
    assert home.landing.weeks() == [FIRST]
    expected = sum(non_blank(hostile.content) for hostile in HOSTILE)
    assert accounted_lines(home, [FIRST]) == expected
    assert home.store.read("quarantined_lines", FIRST).num_rows == expected - sum(
        hostile.event_count for hostile in HOSTILE
    )


@pytest.mark.parametrize("hostile", HOSTILE, ids=[hostile.name for hostile in HOSTILE])
def test_each_hostile_file_is_told_as_what_it_is_and_never_with_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hostile: Hostile
) -> None:
    path = tmp_path / f"{hostile.name}_2026-01-06.jsonl"
    path.write_bytes(hostile.content)
    assert main(["--home", str(tmp_path / "home"), "ingest", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"{non_blank(hostile.content)} lines" in said.out
    assert hostile.reason in said.out
    assert "Traceback" not in said.out
    rejected = [line for line in said.out.splitlines() if line.startswith("  line ")]
    assert len(rejected) == non_blank(hostile.content) - hostile.event_count
    assert all(len(line) < 200 for line in rejected), "a rejected line of megabytes is shown by its beginning"


def test_a_quarantined_line_of_megabytes_is_kept_whole(tmp_path: Path) -> None:
    line = message(MEGABYTES)[:-3]
    path = tmp_path / "session_2026-01-06.jsonl"
    path.write_bytes(line + b"\n")
    assert main(["--home", str(tmp_path / "home"), "ingest", str(path)]) == 0
    assert run_weeks_through_dagster(tmp_path / "home", FIRST, assets=TABLES).success
    (row,) = open_at(tmp_path / "home").store.read("quarantined_lines", FIRST).to_pylist()
    assert (row["file_name"], row["line_number"], row["byte_count"]) == (path.name, 1, len(line))
    assert row["raw_text"].encode() == line


def test_lines_that_were_copied_into_a_second_file_are_counted_as_duplicates(tmp_path: Path) -> None:
    lines = [line for number in range(4) for line in attempt(FIRST.start, number, f"Request {number}")]
    write_log(tmp_path / "logs" / "session_2026-01-05.jsonl", lines)
    write_log(tmp_path / "copies" / "session_2026-01-05.jsonl", [*lines[:8], {**lines[0], "content": "another"}])
    for folder in ("logs", "copies"):
        assert main(["--home", str(tmp_path / "home"), "ingest", str(tmp_path / folder)]) == 0
    result = run_weeks_through_dagster(tmp_path / "home", FIRST, assets=TABLES)
    (told,) = result.asset_materializations_for_node("trajectories")
    duplicates = int(told.metadata["duplicate_event_count"].value)  # type: ignore[arg-type]
    home = open_at(tmp_path / "home")
    assert duplicates == 4
    assert accounted_lines(home, [FIRST], duplicates) == len(lines) + 9


def test_lines_across_weeks_and_before_the_first_week_are_all_landed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = [line for shift in (0, 1, 3) for line in attempt(FIRST.shift(shift).end, 0, f"Request {shift}")]
    write_log(tmp_path / "session_2026-01-12.jsonl", later)
    write_log(tmp_path / "older" / "session_2025-12-20.jsonl", attempt(FIRST.shift(-3).start, 0, "An old request"))
    home_arguments = ["--home", str(tmp_path / "home"), "ingest"]
    assert main([*home_arguments, str(tmp_path / "session_2026-01-12.jsonl")]) == 0
    capsys.readouterr()
    assert main([*home_arguments, str(tmp_path / "older")]) == 0
    note = capsys.readouterr().out
    assert f'Fix: first_week = "{FIRST.shift(-3)}" in memloop.toml' in note
    last = FIRST.shift(4)
    assert run_weeks_through_dagster(tmp_path / "home", FIRST, last, assets=TABLES).success
    home = open_at(tmp_path / "home")
    assert accounted_lines(home, weeks_between(FIRST, last)) == len(later)
    assert json.loads(home.store.read("trajectories", last)["messages_json"][0].as_py())[0]["content"] == "Request 3"
    assert FIRST.shift(-3) in home.landing.weeks()
