"""Landing: no byte altered, none read twice, none lost, and a span of a source says what the whole source says of that week."""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memloop_assets.errors import BadInput, CorruptData
from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week, quarantine_week
from memloop_assets.trajectories.formats.native import NativeReader
from memloop_assets.trajectories.formats.reader import Event, Rejected
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.sources import ReadOptions, Status
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.trajectories.samples import (
    NOON,
    WEEK,
    after,
    as_lines,
    events_of,
    items_of,
    landing_at,
    logged,
    read_all,
)

NAME = "session_2026-03-17.jsonl"
OPTIONS = ReadOptions()


class Folder:
    """A folder of logs with a landing beside it."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.landing: Landing = landing_at(folder)

    def ingest(self, content: bytes, name: str = NAME, options: ReadOptions = OPTIONS) -> Status:
        path = self.logs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return self.landing.ingest(path, options).status

    def copies(self) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.landing.folder.glob("*"))

    def rows(self, first: IsoWeek = WEEK, last: IsoWeek = WEEK) -> list[dict[str, object]]:
        reading = CutWeek(self.landing, LogSettings())
        return [row for w in weeks_between(first, last) for row in cut_week(reading, w, {})[0].to_pylist()]


def said(*texts: str, first: datetime = NOON) -> bytes:
    """Return a log of messages one second apart."""
    return as_lines(logged("message", first + timedelta(seconds=s), content=text) for s, text in enumerate(texts))


def counted(folder: Folder) -> Counter[object]:
    """Count the contents of all messages in all trajectories of the week."""
    return Counter(m["content"] for row in folder.rows() for m in json.loads(str(row["messages_json"])))


def test_the_landing_copy_is_the_file_byte_for_byte(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    content = b"\xef\xbb\xbf" + said("a").replace(b"\n", b"\r\n") + b"\n\x00\xff bad\n\n" + b'{"half":'
    assert folder.ingest(content) == "new"
    assert folder.copies() == [content]


def test_ingesting_again_reads_nothing_twice(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert [folder.ingest(said("a", "b")) for _ in range(3)] == ["new", "unchanged", "unchanged"]
    assert len(events_of(folder.landing)) == 2


def test_the_same_bytes_under_another_name_or_in_another_folder_are_not_read_twice(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    statuses = [folder.ingest(said("a"), name) for name in (NAME, "copy.jsonl", f"elsewhere/{NAME}")]
    assert statuses == ["new", "unchanged", "unchanged"]


def test_a_file_that_has_grown_adds_only_what_is_new(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    statuses = [folder.ingest(said(*"abcdef"[:count])) for count in (1, 3, 6)]
    assert statuses == ["new", "grown", "grown"]
    assert folder.copies() == [said(*"abcdef")]
    assert counted(folder) == Counter("abcdef")
    assert [row["first_line"] for row in folder.rows()] == [1]


@given(st.lists(st.integers(0, 500), max_size=4))
@settings(max_examples=12)
def test_a_log_that_grows_in_any_steps_reads_as_if_it_had_come_at_once(cuts: list[int]) -> None:
    content = said(*"abc") + b"bad\n" + said("d", first=after(days=8))
    with TemporaryDirectory() as place:
        steps, once = Folder(Path(place) / "steps"), Folder(Path(place) / "once")
        for end in (*sorted(cuts), len(content)):
            steps.ingest(content[:end])
        once.ingest(content)
        assert steps.copies() == once.copies()
        found, wanted = (items_of(folder.landing) for folder in (steps, once))
        assert [(i.line_number, i.at, type(i)) for i in found] == [(i.line_number, i.at, type(i)) for i in wanted]
        for folder in (steps, once):
            folder.landing.index._state.close()


def test_a_half_written_last_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    whole = said("a", "b")
    folder.ingest(whole[:-9])
    assert (quarantine_week(folder.landing, WEEK)[0].num_rows, counted(folder)) == (1, Counter("a"))
    folder.ingest(whole)
    assert (quarantine_week(folder.landing, WEEK)[0].num_rows, counted(folder)) == (0, Counter("ab"))


def test_a_rewritten_file_is_another_source_and_what_both_hold_happened_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.ingest(said("a", "b") + b"bad\n" + said("d", first=after(seconds=3)))
    assert folder.ingest(said("a", "b", "c", "d", "e")) == "new"
    assert len(folder.copies()) == 2
    assert counted(folder) == Counter("abcde")
    reading = CutWeek(folder.landing, LogSettings())
    assert cut_week(reading, WEEK, {})[1]["duplicate_event_count"] == 3


def test_a_file_that_was_truncated_and_begun_anew_keeps_what_it_held_before(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.ingest(said("a", "b"))
    assert folder.ingest(said("c", first=after(1))) == "new"
    assert counted(folder) == Counter("abc")


def test_exports_that_overlap_count_each_event_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for number in range(4):
        folder.ingest(said(*"abcdef"[number : number + 3], first=after(seconds=number)), f"export-{number}.jsonl")
    assert counted(folder) == Counter("abcdef")


def test_the_same_session_in_two_folders_is_one_trajectory(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.ingest(said("a", "b"))
    folder.ingest(b"\n" + said("a", "b"), f"backup/{NAME}")
    assert [row["event_count"] for row in folder.rows()] == [2]
    assert cut_week(CutWeek(folder.landing, LogSettings()), WEEK, {})[1]["duplicate_event_count"] == 2


def test_a_trajectory_crosses_from_one_days_file_into_the_next(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    midnight = datetime(2026, 3, 18, tzinfo=UTC)
    folder.ingest(said("a", first=midnight - timedelta(seconds=30)))
    folder.ingest(said("b", first=midnight + timedelta(seconds=30)), "session_2026-03-18.jsonl")
    assert [row["event_count"] for row in folder.rows()] == [2]


def test_agents_that_log_to_files_of_other_names_are_not_mixed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in ("alice_2026-03-17.jsonl", "bob_2026-03-17.jsonl"):
        folder.ingest(said(name), name)
    assert [row["event_count"] for row in folder.rows()] == [1, 1]


def test_a_file_without_a_date_keeps_the_stamps_it_gave_when_it_was_first_seen(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    path = folder.logs / "session.jsonl"
    records = [logged("message", None, content=text) for text in "ab"]
    for count, written in ((1, NOON), (2, after(days=30))):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(as_lines(records[:count]))
        os.utime(path, (written.timestamp(), written.timestamp()))
        folder.landing.ingest(path, OPTIONS)
    assert [item.at for item in events_of(folder.landing)] == [NOON, NOON]


@pytest.mark.parametrize("other", [{"origin": "benchmark"}, {"timezone": "Europe/Berlin"}])
def test_reading_the_same_bytes_otherwise_is_another_source(other: dict[str, str], tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.ingest(said("a"))
    assert folder.ingest(said("a"), options=ReadOptions(**other)) == "new"  # type: ignore[arg-type]  # both are options
    assert len(folder.copies()) == 2


def test_an_empty_file_leaves_nothing_behind_and_one_of_blank_lines_no_week(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.ingest(b"") == "empty"
    assert not folder.landing.folder.exists()
    assert folder.ingest(b"\n\r\n  \n") == "new"
    assert folder.landing.weeks() == []
    assert folder.ingest(b"\n\r\n  \n" + said("a")) == "grown"
    assert folder.landing.weeks() == [WEEK]


def test_what_cannot_be_opened_is_an_error_of_the_file_system_and_nothing_is_landed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.logs.mkdir()
    for path in (folder.logs, folder.logs / "missing.jsonl"):
        with pytest.raises(OSError, match=r"directory|No such file"):
            folder.landing.ingest(path, OPTIONS)
    assert folder.landing.weeks() == []


def test_a_file_that_its_format_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with pytest.raises(BadInput):
        folder.ingest(b"not json", options=ReadOptions(format="tau-bench", arm="a", start_week=WEEK))
    assert folder.landing.weeks() == []
    assert folder.copies() == []


@pytest.mark.parametrize("fault", ["missing", "short", "directory"])
def test_a_landing_copy_that_is_gone_or_short_is_corrupt_and_says_how_to_mend_it(fault: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.ingest(said("a", "b"))
    (copy,) = folder.landing.folder.iterdir()
    (source,) = folder.landing.sources(WEEK)
    content = copy.read_bytes()
    copy.unlink()
    if fault == "short":
        copy.write_bytes(content[:-3])
    if fault == "directory":
        copy.mkdir()
    with pytest.raises(CorruptData, match=NAME):
        list(folder.landing.read_week(source, WEEK))
    with pytest.raises(CorruptData, match=NAME) as found:
        folder.landing.span_digest(source)
    assert "restore" in found.value.fix


def test_the_digest_of_a_span_depends_on_its_bytes_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.ingest(said("a") + said("b", first=after(days=7)))
    (before,) = folder.landing.sources(WEEK)
    digest = folder.landing.span_digest(before)
    folder.ingest(said("a") + said("b", first=after(days=7)) + said("c", first=after(days=7, seconds=9)))
    (later,) = folder.landing.sources(WEEK)
    (grown,) = folder.landing.sources(WEEK.shift(1))
    assert (later.span, folder.landing.span_digest(later)) == (before.span, digest)
    assert grown.span.line_count == 2


stamps = st.none() | st.sampled_from(["odd", *(after(days=d).isoformat() for d in (-14, -7, -1, 0, 5, 6, 7, 21))])
drawn_lines = st.lists(
    st.sampled_from([b"", b"bad", b'{"type":"odd"}']) | stamps.map(lambda at: json.dumps(logged("error", at)).encode()),
    max_size=14,
)


@given(lines=drawn_lines, bom=st.booleans())
@settings(max_examples=40)
def test_reading_the_span_of_every_week_says_what_reading_the_whole_file_says(lines: list[bytes], *, bom: bool) -> None:
    content = (b"\xef\xbb\xbf" if bom else b"") + as_lines(lines)
    with TemporaryDirectory() as place:
        folder = Folder(Path(place))
        folder.ingest(content)
        whole: list[Event | Rejected] = []
        for line in read_all_of(folder, content):
            whole += [line] if isinstance(line, Rejected) else line
        for week in weeks_between(WEEK.shift(-4), WEEK.shift(5)):
            assert items_of(folder.landing, [week]) == [item for item in whole if IsoWeek.of(item.at) == week]
        assert len(items_of(folder.landing)) == len(whole)
        folder.landing.index._state.close()


def read_all_of(folder: Folder, content: bytes) -> list[list[Event] | Rejected]:
    """Return what the whole file says, read from its beginning."""
    weeks = folder.landing.weeks()
    if not weeks:
        return []
    source = folder.landing.sources(weeks[0])[0]
    facts = source.options.facts(source.source_id, source.file_name, source.fallback_at)
    return read_all(NativeReader(), content, facts)


@given(drawn_lines, drawn_lines)
@settings(max_examples=25)
def test_every_line_is_an_event_of_one_trajectory_a_repeat_or_quarantined(one: list[bytes], other: list[bytes]) -> None:
    with TemporaryDirectory() as place:
        folder = Folder(Path(place))
        statuses = [folder.ingest(as_lines(one)), folder.ingest(as_lines(other), "session_2026-03-19.jsonl")]
        held = {"new": (one, other), "unchanged": (one,), "empty": (one,), "grown": (other,)}[statuses[1]]
        line_count = sum(sum(map(bool, lines)) for lines in held)
        reading, found = CutWeek(folder.landing, LogSettings()), 0
        for week in weeks_between(WEEK.shift(-5), WEEK.shift(6)):
            counts = cut_week(reading, week, {})[1]
            found += counts["event_count"] + counts["duplicate_event_count"]
            found += quarantine_week(folder.landing, week)[0].num_rows
        assert found == line_count
        folder.landing.index._state.close()
