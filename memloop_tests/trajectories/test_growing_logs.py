"""Logs that live: whatever happens to their files while they are read, no line is lost and none is read twice."""

import gzip
import os
import random
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memloop_assets.errors import BadInput
from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week, quarantine_week
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.sources import check_file, find_logs, logged_name
from memloop_assets.weeks import IsoWeek
from memloop_tests.trajectories.histories import OPTIONS, STEPS, Fleet, Step, append, line, look, without_files
from memloop_tests.trajectories.samples import NOON, WEEK, as_lines, landing_at, logged


def rows_of(landing: Landing) -> list[list[dict[str, object]]]:
    """Return the rows of every week without what tells which file they came from."""
    reading = CutWeek(landing, LogSettings())
    tables = [
        table
        for week in landing.weeks()
        for table in (cut_week(reading, week, {})[0], quarantine_week(landing, week)[0])
    ]
    return [without_files(table.to_pylist()) for table in tables]


@given(steps=st.lists(st.sampled_from(STEPS), min_size=4, max_size=16), seed=st.integers(0, 10**6))
@settings(max_examples=14)
def test_after_any_history_the_tables_are_those_of_one_clean_ingest(steps: list[Step], seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311  # a history to replay, not a secret
    with TemporaryDirectory() as place:
        fleet = Fleet(Path(place) / "lived", landing_at(Path(place) / "lived"))
        append(fleet, draw)
        for step in steps:
            # what nobody looks at between being written and being overwritten is gone from the disk: every step is looked at
            step(fleet, draw)
            look(fleet, draw)
        clean = landing_at(Path(place) / "clean")
        once = Path(place) / "clean" / "session.jsonl"
        once.write_bytes(b"".join(fleet.lines))
        clean.ingest(once, OPTIONS)
        assert rows_of(fleet.landing) == rows_of(clean)
        assert sum(len(rows) for rows in rows_of(clean)) > 0
        for landing in (fleet.landing, clean):
            landing.index._state.close()


@given(st.lists(st.integers(0, 900), max_size=6))
@settings(max_examples=8)
def test_the_index_of_a_log_that_grew_in_any_steps_is_that_of_one_reading(cuts: list[int]) -> None:
    content = b"".join(line(n) for n in range(4)) + b"\n  \n" + line(5, minutes=9 * 24 * 60) + line(6) + b"last"
    with TemporaryDirectory() as place:
        landings = [landing_at(Path(place) / name) for name in ("steps", "once")]
        for landing, ends in zip(landings, ([*sorted(cuts), len(content)], [len(content)]), strict=True):
            path = landing.folder.parent / "session.jsonl"
            for end in ends:
                path.write_bytes(content[:end])
                landing.ingest(path, OPTIONS)
        steps, once = landings
        for week in once.weeks():
            (one,), (other,) = steps.sources(week), once.sources(week)
            assert one.span == other.span
            assert steps.digest(week) == once.digest(week)
        grown, read = (landing.index.alike(OPTIONS, b"")[0] for landing in landings)
        assert (grown.line_count, grown.byte_count, grown.resume) == (read.line_count, read.byte_count, read.resume)
        for landing in landings:
            landing.index._state.close()


def test_the_report_of_a_grown_file_counts_only_what_is_new(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line(0) + line(1))
    assert landing.ingest(path, OPTIONS).line_count == 2
    path.write_bytes(line(0) + line(1) + line(2, minutes=14 * 24 * 60))
    report = landing.ingest(path, OPTIONS)
    assert (report.status, report.line_count, report.weeks) == ("grown", 1, {WEEK.shift(2)})


def test_a_weeks_digest_changes_when_lines_of_that_week_are_landed_and_at_no_other_time(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    later = line(3, minutes=7 * 24 * 60)
    told = []
    for content in (
        line(0),
        line(0) + later,
        line(0) + later[:-1],
        line(0) + later + line(1),
        line(0) + later + line(1),
    ):
        path.write_bytes(content)
        landing.ingest(path, OPTIONS)
        told.append((landing.digest(WEEK), landing.digest(WEEK.shift(1))))
    this, following = zip(*told, strict=True)
    assert this[0] == this[1] == this[2] != this[3] == this[4]
    assert following[0] == "missing"
    assert len(set(following[1:])) == 1


def test_a_file_that_was_read_long_after_it_was_written_costs_a_stat_and_no_reading(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line(0))
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    assert landing.ingest(path, OPTIONS).status == "new"
    path.chmod(0o000)
    path.write_bytes(
        b"x" * len(line(0))
    ) if os.geteuid() == 0 else None  # whoever may read everything is shown other bytes
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    assert landing.ingest(path, OPTIONS).status == "unchanged"


def test_a_file_written_this_very_moment_is_read_again_although_its_stat_is_the_same(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line(0))
    landing.ingest(path, OPTIONS)
    stat = path.stat()
    path.write_bytes(line(0).replace(b"line 0", b"LINE 0"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert landing.ingest(path, OPTIONS).status == "new"


def test_what_an_interrupted_append_left_behind_is_cut_off_by_the_next(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line(0))
    landing.ingest(path, OPTIONS)
    (copy,) = landing.folder.glob("*.log")
    copy.write_bytes(line(0) + line(1) + b"half of")  # appended, and killed before the index said so
    path.write_bytes(line(0) + line(1))
    assert landing.ingest(path, OPTIONS).status == "grown"
    assert copy.read_bytes() == line(0) + line(1)


def test_a_landing_copy_that_is_short_is_written_anew_when_its_log_grows(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line(0))
    landing.ingest(path, OPTIONS)
    (copy,) = landing.folder.glob("*.log")
    copy.write_bytes(line(0)[:9])
    path.write_bytes(line(0) + line(1))
    landing.ingest(path, OPTIONS)
    assert copy.read_bytes() == line(0) + line(1)


def test_two_days_logs_without_stamps_that_begin_alike_are_two_logs(tmp_path: Path) -> None:
    landing = landing_at(tmp_path)
    greeting, question = (as_lines([logged("message", None, content=text)]) for text in ("You are kind.", "Why?"))
    for name, content in (("s_2026-03-17.jsonl", greeting), ("s_2026-03-24.jsonl", greeting + question)):
        (tmp_path / name).write_bytes(content)
        assert landing.ingest(tmp_path / name, OPTIONS).status == "new"
    assert landing.weeks() == [WEEK, WEEK.shift(1)]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_compressed_log_is_read_and_checked_like_a_plain_one_and_a_half_written_one_refused(
    ending: str, tmp_path: Path
) -> None:
    landing, content = landing_at(tmp_path), line(0) + line(1) + line(2)
    packed = gzip.compress(content) if ending == "gz" else pa.Codec("zstd").compress(content, asbytes=True)
    path = tmp_path / f"session.jsonl.1.{ending}"
    path.write_bytes(packed[:-5])
    with pytest.raises(BadInput, match="cannot be read"):
        landing.ingest(path, OPTIONS)
    path.write_bytes(packed)
    assert check_file(path, OPTIONS).line_count == 3
    assert landing.ingest(path, OPTIONS).line_count == 3
    plain = tmp_path / "session.jsonl.1"
    plain.write_bytes(content)
    assert landing.ingest(plain, OPTIONS).status == "unchanged"
    assert [copy.read_bytes() for copy in landing.folder.iterdir()] == [content]


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.1", "s.jsonl.12.gz", "s.jsonl-20260318.zst", "s.jsonl.gz"])
def test_a_rotated_or_compressed_log_is_found_and_belongs_to_the_stream_of_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(line(0))
    (tmp_path / "s.jsonl.bak").write_bytes(line(1))
    assert find_logs(tmp_path) == [tmp_path / name]
    assert logged_name(name) == "s.jsonl"
    landing = landing_at(tmp_path / "home")
    landing.ingest(tmp_path / name, OPTIONS)
    (source,) = landing.sources(IsoWeek.of(NOON + timedelta(0)))
    assert source.stream == f"{tmp_path.resolve()}|s|native|live"


def test_what_is_landed_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path / "home"), tmp_path / "session.jsonl"
    path.write_bytes(line(0))
    landing.ingest(path, OPTIONS)
    assert {p.stat().st_mode & 0o077 for p in (landing.folder, *landing.folder.iterdir())} == {0}
