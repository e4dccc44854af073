"""Contract rows A1 to A9 and A14: the log that an agent already writes, its trajectories and their grades, under memloop's names."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memloop_assets.settings import LogSettings
from memloop_assets.state import State
from memloop_assets.trajectories.cutting import CutWeek, cut_week, quarantine_week
from memloop_assets.trajectories.formats.reader import Event
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.quality import Quality, filter_trainable, grade_trajectory
from memloop_assets.trajectories.segments import cut_trajectories
from memloop_assets.trajectories.sources import FileReport, ReadOptions, find_logs
from memloop_assets.trajectories.trajectory import Trajectory, to_chat_format
from memloop_assets.weeks import IsoWeek

NOW = datetime(2026, 3, 17, 10, tzinfo=UTC)  # the frozen clock of every row: a Tuesday
WEEK = IsoWeek.of(NOW)

Fields = dict[str, object]


def message(role: str, content: str = "text", **fields: object) -> Fields:
    return {"type": "message", "role": role, "content": content, **fields}


def tool_call(tool: str = "search", result: str = "found") -> Fields:
    return {"type": "tool_call", "tool": tool, "args": {}, "result": result}


ERROR: Fields = {"type": "error", "error": "boom"}
DECISION: Fields = {"type": "decision", "decision": "use the cache"}


class Logs:
    """A repository's log folder and the landing it is read into."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "logs"
        self.folder.mkdir()
        self.landing = Landing(root / "landing", State(root / "state.sqlite"))

    def write(self, day: datetime, *entries: Fields | str, minutes: Sequence[float] | None = None) -> Path:
        """Write a day's file; entries without a stamp get one each minute, or at the minutes given."""
        path = self.folder / f"session_{day:%Y-%m-%d}.jsonl"
        places = minutes or range(len(entries))
        stamps = [(day + timedelta(minutes=place)).isoformat() for place in places]
        lines = [
            entry if isinstance(entry, str) else json.dumps({"timestamp": stamp, **entry})
            for entry, stamp in zip(entries, stamps, strict=True)
        ]
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def ingest(self, timezone: str = "UTC") -> list[FileReport]:
        return [self.landing.ingest(path, ReadOptions(timezone=timezone)) for path in find_logs(self.folder)]

    def trajectories(self, week: IsoWeek = WEEK) -> list[Trajectory]:
        streams = CutWeek(self.landing, LogSettings()).streams(week)
        return [found for events in streams.values() for found in cut_trajectories(events, week)]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def trajectory(*entries: Fields) -> Trajectory:
    """Return the entries as one trajectory, a second between each."""
    events = []
    for place, entry in enumerate(entries):
        payload = {name: value for name, value in entry.items() if name != "type"}
        events.append(Event(entry["type"], NOW + timedelta(seconds=place), place + 1, payload))  # type: ignore[arg-type]
    return Trajectory(events)


def test_a01_the_logs_of_a_repository_are_one_file_a_day_with_one_object_a_line(logs: Logs) -> None:
    days = [NOW, NOW + timedelta(days=1)]
    for day in days:
        logs.write(day, message("user"), message("timmy"))
    assert [path.name for path in find_logs(logs.folder)] == ["session_2026-03-17.jsonl", "session_2026-03-18.jsonl"]
    assert [report.line_count for report in logs.ingest()] == [2, 2]
    assert [found.session_date for found in logs.trajectories()] == ["2026-03-17", "2026-03-18"]


def test_a02_the_four_kinds_of_entry_are_read_with_all_their_fields(logs: Logs) -> None:
    entries = (message("user", "Hi"), message("timmy", "Hello", confidence=0.9), tool_call(), ERROR, DECISION)
    logs.write(NOW, *entries)
    (report,) = logs.ingest()
    assert report.events == {"message": 2, "tool_call": 1, "error": 1, "decision": 1}
    (found,) = logs.trajectories()
    read = [{"type": part.kind, "timestamp": part.at.isoformat(), **part.payload} for part in found.events]
    for place, (entry, event) in enumerate(zip(entries, read, strict=True)):
        assert {name: event[name] for name in (*entry, "timestamp")} == {
            **entry,
            "timestamp": (NOW + timedelta(minutes=place)).isoformat(),
        }


def test_a03_what_writers_add_is_kept_and_naive_stamps_are_read_in_the_zone_of_the_log(logs: Logs) -> None:
    late = "2026-03-18T00:30:00.123456"  # a process that lives on writes Wednesday's entries into Tuesday's file
    logs.write(
        NOW,
        {**ERROR, "context": "while paying", "timestamp": late},
        {**DECISION, "rationale": "it is fresh", "timestamp": late},
        {**tool_call(result="r" * 500), "timestamp": late},
        message("user", timestamp=late, mood="odd"),
    )
    logs.ingest("Europe/Berlin")
    (found,) = logs.trajectories()
    assert found.started_at == datetime(2026, 3, 17, 23, 30, 0, 123456, tzinfo=UTC)
    assert (found.errors[0]["context"], found.decisions[0]["rationale"]) == ("while paying", "it is fresh")
    assert found.tool_calls[0]["result"] == "r" * 500
    assert found.events[3].extra == {"mood": "odd"}
    assert found.agent_confidence is None


def test_a04_a_trajectory_has_its_parts_and_says_what_it_is() -> None:
    found = trajectory(message("user"), message("timmy"), tool_call(), DECISION)
    assert (found.session_date, found.started_at, found.ended_at) == ("2026-03-17", NOW, NOW + timedelta(seconds=3))
    parts = (found.messages, found.tool_calls, found.errors, found.decisions)
    assert tuple(map(len, parts)) == (2, 1, 0, 1)
    assert (found.message_count, found.tool_call_count) == (2, 1)
    assert found.has_successful_tool_call
    assert found.is_multi_step
    assert not trajectory(message("user"), tool_call(), ERROR).has_successful_tool_call
    assert not trajectory(message("user"), message("timmy")).has_successful_tool_call
    assert not trajectory(message("user")).is_multi_step


def test_a05_as_a_chat_the_agent_is_the_assistant_tools_come_in_time_order_and_nothing_is_empty() -> None:
    found = trajectory(message("user", "Hi"), tool_call(), message("timmy", ""), message("timmy", "Found it"))
    chat = to_chat_format(found.messages, found.tool_calls)
    assert [part["role"] for part in chat] == ["user", "tool", "assistant"]
    assert [part["content"] for part in chat] == ["Hi", "found", "Found it"]
    assert all({"role", "content"} <= set(part) and part["content"] for part in chat)


def test_a06_a_folder_without_logs_gives_no_trajectories(logs: Logs) -> None:
    assert logs.trajectories() == []
    assert cut_week(CutWeek(logs.landing, LogSettings()), WEEK, {})[0].num_rows == 0


def test_a06_this_weeks_file_is_read_and_one_three_weeks_old_is_not_in_this_week(logs: Logs) -> None:
    logs.write(NOW, message("user"), message("timmy"))
    logs.write(NOW - timedelta(weeks=3), message("user"), message("timmy"))
    logs.ingest()
    assert [found.started_at for found in logs.trajectories()] == [NOW]
    assert len(logs.trajectories(WEEK.shift(-3))) == 1


def test_a06_a_silence_of_ten_minutes_divides_a_days_file_and_one_of_five_does_not(logs: Logs) -> None:
    entries = (message("user"), message("timmy"), message("user"), message("timmy"))
    logs.write(NOW, *entries, minutes=(0, 1, 11, 12))
    logs.write(NOW + timedelta(days=1), *entries, minutes=(0, 1, 6, 7))
    logs.ingest()
    assert [len(found.events) for found in logs.trajectories()] == [2, 2, 4]


def test_a06_a_malformed_file_never_raises_and_every_line_of_it_is_accounted_for(logs: Logs) -> None:
    logs.write(NOW, "not json", "{}", message("user"))
    (report,) = logs.ingest()
    assert (report.line_count, report.rejected_count) == (3, 2)
    assert len(logs.trajectories()) == 1
    table, reasons = quarantine_week(logs.landing, WEEK)
    assert table["line_number"].to_pylist() == [1, 2]
    assert table["raw_text"].to_pylist() == ["not json", "{}"]
    assert reasons.total() == 2


EXAMPLES: dict[str, Trajectory] = {
    "a": trajectory(message("user"), message("timmy", confidence=0.9), tool_call(), tool_call(), DECISION),
    "b": trajectory(message("user"), message("timmy")),
    "c": trajectory(message("timmy", confidence=0.9), message("timmy"), tool_call(), tool_call(), DECISION),
    "d": trajectory(message("user"), message("timmy"), tool_call(), ERROR, ERROR),
    "e": trajectory(message("user"), message("timmy", confidence=0.2)),
}


def grade(name: str) -> Quality:
    return grade_trajectory(EXAMPLES[name])


def test_a07_a_grade_is_a_tier_a_score_and_reasons_and_only_low_does_not_teach() -> None:
    for name in EXAMPLES:
        quality = grade(name)
        assert quality.tier in ("HIGH", "MEDIUM", "LOW")
        assert quality.reasons
        assert quality.is_trainable == (quality.tier != "LOW")
        assert quality.tier != "HIGH" or quality.score >= 4.0
    assert {grade(name).tier for name in EXAMPLES} == {"HIGH", "MEDIUM", "LOW"}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("a", lambda quality: quality.tier == "HIGH" and quality.score >= 4.0),
        ("b", lambda quality: quality.tier == "MEDIUM" and quality.is_trainable),
        ("c", lambda quality: quality.tier == "LOW" and not quality.is_trainable),
        ("d", lambda quality: quality.score < grade("a").score),
        ("e", lambda quality: quality.score < 1.0),
    ],
)
def test_a08_the_five_examples_of_the_filter_are_graded_as_their_users_know_them(
    name: str, rule: Callable[[Quality], bool]
) -> None:
    assert rule(grade(name)), grade(name)


def test_a09_the_filter_gives_the_trainable_and_counts_that_add_up() -> None:
    trainable, counts = filter_trainable(EXAMPLES.values())
    assert trainable == [EXAMPLES["a"], EXAMPLES["b"]]
    assert counts == {"total": 5, "accepted": 2, "high": 1, "medium": 1, "low": 3}
    assert counts["accepted"] == len(trainable)
    assert filter_trainable([]) == ([], {"total": 0, "accepted": 0, "high": 0, "medium": 0, "low": 0})


@pytest.mark.parametrize(
    ("day", "label"), [("2026-03-17", "2026-W12"), ("2026-12-31", "2026-W53"), ("2027-01-03", "2026-W53")]
)
def test_a14_a_week_is_labelled_by_the_iso_calendar(day: str, label: str) -> None:
    assert str(IsoWeek.of(datetime.fromisoformat(f"{day}T12:00:00+00:00"))) == label
