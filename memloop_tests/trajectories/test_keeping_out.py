"""Forgotten people in the landing: their lines are blanked wherever they lie, and never land again, whatever their files do."""

import json
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memloop_assets.errors import CorruptData
from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week, quarantine_week
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.ownership import Tie, Ties
from memloop_assets.trajectories.sources import ReadOptions
from memloop_tests.trajectories.samples import NOON, WEEK, after, as_lines, landing_at, logged

OPTIONS = ReadOptions()
ANN, BOB = "Ann.Gone@example.org", "bob@example.org"
USERS = (ANN, BOB, "u-77", None)


def forget(landing: Landing, user: str = ANN) -> int:
    """Forget somebody in a landing alone, without tables; return how many lines went."""
    index = landing.forgotten
    index.make_key()
    hashed = index.hasher()
    index.begin(hashed("user", user), {}, NOON)
    lines = landing.forget(hashed, hashed("user", user))
    index.finish(hashed("user", user), {}, NOON)
    return len(lines)


def line_of(user: str | None, number: int, *, says_who: bool = True, **fields: object) -> bytes:
    """Return one line of a session that is its user's alone; its words give its user away."""
    at = after(minutes=7 * number + (10_080 if number % 7 == 6 else 0))
    who = {"user_id": user} if says_who and user else {}
    name = (user or "nobody").split("@")[0].casefold()
    ids = {"session_id": f"s-{user or 'shared'}-{number // 9}", **who}
    return as_lines([logged("message", at, **{"content": f"{name} said {number}", **ids, **fields})])


def cannot_be_read(user: str, number: int) -> bytes:
    return line_of(user, number, role="")


def blanked(content: bytes) -> bytes:
    return b" " * (len(content) - 1) + b"\n"


@dataclass
class Story:
    """A log that is written line by line, and what it would be without Ann."""

    root: Path
    landing: Landing
    draw: random.Random
    lines: list[bytes] = field(default_factory=list)
    clean: list[bytes] = field(default_factory=list)
    half: bytes = b""

    @property
    def path(self) -> Path:
        return self.root / "session.jsonl"

    def write(self, user: str | None) -> None:
        number = len(self.lines)
        # the first line of a session never says whose it is, the second always does: the tie is often learned late
        is_open = f"s-{user or 'shared'}-{number // 9}".encode() in b"".join(self.lines)
        kind = self.draw.random()
        line = line_of(user, number, says_who=is_open and (kind < 0.6 or not self._is_told(user, number)))
        if user and kind > 0.9 and is_open:
            line = cannot_be_read(user, number)
        self.lines.append(line)
        self.clean.append(blanked(line) if user == ANN else line)

    def _is_told(self, user: str | None, number: int) -> bool:
        told = f's-{user or "shared"}-{number // 9}", "user_id"'.encode()
        return told in b"".join(self.lines)

    def close_sessions(self) -> None:
        """Let every session of Ann say whose it is at last."""
        for number in range(0, len(self.lines), 9):
            if f"s-{ANN}-{number // 9}".encode() in b"".join(self.lines):
                self.lines.append(line_of(ANN, number))
                self.clean.append(blanked(self.lines[-1]))

    def ingest(self, cut: int = 0) -> None:
        content = b"".join(self.lines)
        if content:
            self.path.write_bytes(content[: len(content) - cut])
            self.landing.ingest(self.path, OPTIONS)


def tables_of(landing: Landing) -> list[list[dict[str, object]]]:
    """Return the rows of every week without the names of the files that they came from; line numbers stay."""
    reading = CutWeek(landing, LogSettings())
    pairs = [(cut_week(reading, week, {})[0], quarantine_week(landing, week)[0]) for week in landing.weeks()]
    return [
        sorted(({k: v for k, v in row.items() if k != "source_id"} for row in table.to_pylist()), key=str)
        for pair in pairs
        for table in pair
        if table.num_rows
    ]


@given(
    steps=st.lists(st.sampled_from(["write", "write", "write", "ann", "ann", "look", "half", "forget"]), max_size=28),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=8)
def test_after_any_history_the_tables_are_those_of_a_log_without_the_forgotten_lines(
    steps: list[str], seed: int
) -> None:
    with TemporaryDirectory() as place:
        draw = random.Random(seed)  # noqa: S311  # a history to replay
        (Path(place) / "lived").mkdir()
        story = Story(Path(place) / "lived", landing_at(Path(place) / "lived"), draw)
        for step in (*steps, "ann", "look"):
            if step in ("write", "ann"):
                story.write(ANN if step == "ann" else draw.choice(USERS))
            elif step == "forget":
                forget(story.landing)
            else:
                story.ingest(cut=draw.randint(1, 60) if step == "half" and story.lines else 0)
        story.close_sessions()
        story.ingest()
        forget(story.landing)
        story.ingest()
        clean = landing_at(Path(place) / "clean")
        (Path(place) / "clean" / "session.jsonl").write_bytes(b"".join(story.clean))
        clean.ingest(Path(place) / "clean" / "session.jsonl", OPTIONS)
        assert tables_of(story.landing) == tables_of(clean)
        assert story.landing.landed_lines() == clean.landed_lines()
        for copy in story.landing.folder.iterdir():
            assert b"ann" not in copy.read_bytes().lower()
        for landing in (story.landing, clean):
            landing.index._state.close()


def test_the_file_that_was_forgotten_from_adds_nothing_when_it_is_read_again_grown_renamed_or_cut_short(
    tmp_path: Path,
) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    content = b"".join(line_of(user, number) for number, user in enumerate((BOB, ANN, BOB, ANN)))
    path.write_bytes(content)
    landing.ingest(path, OPTIONS)
    assert forget(landing) == 2
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    assert landing.ingest(path, OPTIONS).status == "unchanged"
    for name, copy in (("other.jsonl", content), ("short.jsonl", content[:-200])):
        (tmp_path / name).write_bytes(copy)
        assert landing.ingest(tmp_path / name, OPTIONS).status == "unchanged"
    path.write_bytes(content + line_of(ANN, 4) + line_of(BOB, 5))
    grown = landing.ingest(path, OPTIONS)
    assert (grown.status, grown.line_count, grown.forgotten_count) == ("grown", 1, 1)
    (landed,) = landing.folder.glob("*.log")
    assert landed.read_bytes().count(b"bob said") == 3
    assert b"ann" not in landed.read_bytes().lower()


def test_a_line_without_a_user_goes_as_soon_as_a_later_one_of_its_session_says_whose_it_is(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line_of(ANN, 0))
    landing.ingest(path, OPTIONS)
    forget(landing)
    silent, told = line_of(ANN, 10, says_who=False), line_of(ANN, 11)
    for content in (line_of(ANN, 0) + silent, line_of(ANN, 0) + silent + told):
        path.write_bytes(content)
        landing.ingest(path, OPTIONS)
        (landed,) = landing.folder.glob("*.log")
        assert (b"said 10" in landed.read_bytes()) == (told not in content)
    assert landing.weeks() == []


def test_a_half_written_line_of_theirs_is_blanked_once_it_is_whole(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line_of(ANN, 0))
    landing.ingest(path, OPTIONS)
    forget(landing)
    whole = line_of(BOB, 1) + line_of(ANN, 2)
    path.write_bytes(line_of(ANN, 0) + whole[:-70])
    landing.ingest(path, OPTIONS)
    path.write_bytes(line_of(ANN, 0) + whole)
    landing.ingest(path, OPTIONS)
    (landed,) = landing.folder.glob("*.log")
    assert landed.read_bytes() == blanked(line_of(ANN, 0)) + line_of(BOB, 1) + blanked(line_of(ANN, 2))


def test_a_landing_copy_that_is_short_is_written_anew_without_them(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line_of(ANN, 0) + line_of(BOB, 1))
    landing.ingest(path, OPTIONS)
    forget(landing)
    (landed,) = landing.folder.glob("*.log")
    landed.write_bytes(landed.read_bytes()[:9])
    path.write_bytes(line_of(ANN, 0) + line_of(BOB, 1) + line_of(BOB, 2))
    landing.ingest(path, OPTIONS)
    assert landed.read_bytes() == blanked(line_of(ANN, 0)) + line_of(BOB, 1) + line_of(BOB, 2)


def test_a_log_that_is_landed_for_the_first_time_after_the_forgetting_lands_without_them(tmp_path: Path) -> None:
    landing = landing_at(tmp_path)
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "session.jsonl").write_bytes(line_of(ANN.upper(), 0) + line_of(BOB, 1 + number))
        landing.ingest(tmp_path / name / "session.jsonl", OPTIONS)
        if name == "one":
            forget(landing)
    texts = [copy.read_bytes().lower() for copy in landing.folder.glob("*.log")]
    assert len(texts) == 2
    assert all(b"bob said" in text and b"ann" not in text for text in texts)


@pytest.mark.parametrize(
    ("format_", "record"),
    [
        (
            "openai-chat",
            {"messages": [{"role": "user", "content": "ann: hi"}], "model": "m", "end_user": ANN, "created": 1773748800},
        ),
        (
            "otlp",
            {
                "resourceSpans": [
                    {
                        "scopeSpans": [
                            {
                                "spans": [
                                    {
                                        "traceId": "t", "spanId": "s", "startTimeUnixNano": "1773748800000000000",
                                        "endTimeUnixNano": "1773748801000000000", "name": "chat",
                                        "attributes": [
                                            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                                            {"key": "user.id", "value": {"stringValue": ANN}},
                                        ],
                                    }
                                ]
                            }
                        ]
                    }
                ]
            },
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 1])
def test_every_format_that_logs_users_is_forgotten_from(
    tmp_path: Path, format_: str, record: object, indent: int | None
) -> None:
    if indent and format_ != "otlp":
        pytest.skip("only an OTLP export is ever printed over many lines")
    landing, path = landing_at(tmp_path), tmp_path / "calls.jsonl"
    path.write_text(json.dumps(record, indent=indent) + "\n")
    landing.ingest(path, ReadOptions(format_))
    assert landing.weeks()
    assert forget(landing) == 1
    assert landing.weeks() == []
    (landed,) = landing.folder.glob("*.log")
    assert not landed.read_bytes().strip()


def test_of_what_cannot_be_read_the_lines_that_name_them_go(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    broken = [b'{"user_id": "u-77", "content": "cut', b"u-77 wrote this", b'{"type": "odd", "user_id": "u-77"}']
    kept = [b'{"user_id": "u-777", "content": "cut', b"nobody wrote this"]
    path.write_bytes(b"".join(text + b"\n" for text in (*broken, *kept)) + line_of(BOB, 5))
    landing.ingest(path, OPTIONS)
    assert forget(landing, "u-77") == 3
    (landed,) = landing.folder.glob("*.log")
    assert landed.read_bytes().split(b"\n")[3:5] == kept


def test_in_a_session_of_two_people_others_lines_stay_and_those_of_nobody_go_unless_their_task_is_anothers(
    tmp_path: Path,
) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"

    def told(content: str, **ids: object) -> bytes:
        return as_lines([logged("message", after(seconds=len(content)), content=content, session_id="s", **ids)])

    path.write_bytes(
        told("ann", user_id=ANN, task_id="1", decision_id="d")
        + told("to ann", task_id="1")
        + told("of bob", user_id=BOB, task_id="2")
        + told("to bob, I say", task_id="2")
        + told("to whom")
        + as_lines([logged("outcome", after(minutes=2), decision_id="d")])
        + as_lines([logged("outcome", after(minutes=3), decision_id="e")])
    )
    landing.ingest(path, OPTIONS)
    assert forget(landing) == 4
    (landed,) = landing.folder.glob("*.log")
    left = [json.loads(line) for line in landed.read_bytes().splitlines() if line.strip()]
    assert [line.get("content") for line in left] == ["of bob", "to bob, I say", None]
    assert left[-1]["decision_id"] == "e"


def test_without_the_key_nothing_more_is_landed(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line_of(ANN, 0))
    landing.ingest(path, OPTIONS)
    forget(landing)
    assert landing.forgotten.key_path.stat().st_mode & 0o777 == 0o600
    landing.forgotten.key_path.unlink()
    path.write_bytes(line_of(ANN, 0) + line_of(BOB, 1))
    with pytest.raises(CorruptData, match=r"landing\.key"):
        landing.ingest(path, OPTIONS)
    assert sorted(copy.suffix for copy in landing.folder.iterdir()) == [".log"]


def test_the_state_keeps_no_id_that_somebody_could_read_or_guess(tmp_path: Path) -> None:
    databases = []
    for name in ("one", "two"):
        landing, path = landing_at(tmp_path / name), tmp_path / name / "session.jsonl"
        path.write_bytes(line_of(ANN, 0))
        landing.ingest(path, OPTIONS)
        forget(landing)
        (event, _) = landing.forgotten.events()
        databases.append(event.user_hash)
        landing.index._state.close()
        for file in (tmp_path / name).glob("state.sqlite*"):
            assert b"ann.gone" not in file.read_bytes().lower()
    assert databases[0] != databases[1]  # each home has a key of its own


def pairs(ties: Iterable[tuple[str, str, str]]) -> Callable[[str, str, str], bool]:
    known = Ties(Tie(*tie) for tie in ties)
    return lambda session, task, decision: known.holds(Tie(session, task, decision))


def test_ids_tie_a_line_unless_another_id_contradicts() -> None:
    holds = pairs([("s", "1", "d")])
    assert all(holds(*ids) for ids in (("s", "", ""), ("s", "1", "x"), ("", "1", ""), ("", "", "d")))
    assert not any(holds(*ids) for ids in (("s", "2", ""), ("z", "1", "d"), ("", "", ""), ("z", "", "d")))
    assert pairs([("s", "", "")])("s", "2", "")


def test_the_week_whose_lines_went_has_another_digest(tmp_path: Path) -> None:
    landing, path = landing_at(tmp_path), tmp_path / "session.jsonl"
    path.write_bytes(line_of(BOB, 0) + line_of(ANN, 1) + line_of(BOB, 6))
    landing.ingest(path, OPTIONS)
    before = [landing.digest(WEEK), landing.digest(WEEK.shift(1))]
    forget(landing)
    assert landing.digest(WEEK) != before[0]
    assert landing.digest(WEEK.shift(1)) == before[1]
