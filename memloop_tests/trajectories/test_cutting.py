"""Reading weeks for cutting: what is kept of a window, packed or forgotten, never shows in what is cut."""

import random
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week, quarantine_week
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.segments import cut_trajectories
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek
from memloop_tests.trajectories.samples import NOON, WEEK, as_lines, event, events_of, landing_at, logged

WEEKS = [WEEK.shift(number) for number in range(7)]


def busy_log(seed: int) -> list[dict[str, object]]:
    """Return the lines of seven weeks: sessions with pauses of up to nine days, tasks, decisions, users without ids."""
    draw = random.Random(seed)  # noqa: S311  # seeded, a log
    lines = []
    for session in range(24):
        at = WEEK.start + timedelta(minutes=draw.randrange(7 * 7 * 24 * 60))
        name = draw.choice(["session_id", "task_id", "user_id", ""])
        ids: dict[str, object] = {name: f"{name} {session % 9}"} if name else {}
        for number in range(draw.randrange(1, 9)):
            decision = {"decision_id": f"d{session % 5}"} if draw.random() < 0.3 else {}
            own = ids if draw.random() < 0.85 or not decision else {}
            kind = draw.choice(["message", "message", "tool_call", "outcome"])
            lines.append(logged(kind, at, **own, **decision) | {"nth": f"{session} {number}", "at": [1.5, {"x": None}]})
            at += timedelta(minutes=draw.choice([0.5, 3, 9, 60 * 24 * 3, 60 * 24 * 7, 60 * 24 * 9]))
    return sorted(lines, key=lambda line: str(line["timestamp"]))


def landed(folder: Path, lines: list[dict[str, object]]) -> Landing:
    landing = landing_at(folder)
    half = len(lines) // 2
    for name, part in (("session_1.jsonl", lines[:half]), ("session_2.jsonl", lines[half:])):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(as_lines(part))
        landing.ingest(folder / name, ReadOptions())
    return landing


def cut(reading: CutWeek, week: IsoWeek) -> pa.Table:
    return cut_week(reading, week, {})[0]


@pytest.mark.parametrize("seed", range(8))
def test_a_week_is_the_same_in_order_alone_and_backwards_and_as_cutting_everything_has_it(
    tmp_path: Path, seed: int
) -> None:
    lines = busy_log(seed)
    landing = landed(tmp_path, lines)
    in_order, backwards = CutWeek(landing, LogSettings()), CutWeek(landing, LogSettings())
    told = {week: cut(in_order, week) for week in WEEKS}
    back = {week: cut(backwards, week) for week in reversed(WEEKS)}
    whole = events_of(landing)
    for week in WEEKS:
        window = [e for e in whole if week.shift(-3).start <= e.at < week.shift(2).start]
        expected = [found.trajectory_id for found in cut_trajectories(window, week)]
        assert told[week]["trajectory_id"].to_pylist() == expected
        assert told[week] == back[week] == cut(CutWeek(landing, LogSettings()), week)
    assert sum(table.num_rows for table in told.values()) > 20


def test_a_packed_event_says_what_it_said_and_is_cut_by_its_role() -> None:
    told = event("message", NOON, role="system", content="Be \u00e9 kind.", extra={"n": [1e-7, -0.0, 2**63]})
    packed = event("message", NOON, role="system", content="Be \u00e9 kind.", extra={"n": [1e-7, -0.0, 2**63]})
    packed.pack()
    assert (packed.payload, packed.extra) == ({"role": "system"}, {})
    assert list(packed.said()) == [told.payload, told.extra]
    packed.unpack()
    assert packed == told


def test_the_quarantine_is_made_from_the_reading_that_the_trajectories_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = landed(tmp_path, [logged("message"), logged("message") | {"type": "heartbeat"}])
    read_again, _ = quarantine_week(landing_at(tmp_path), WEEK)
    cut_week(CutWeek(landing, LogSettings()), WEEK, {})
    monkeypatch.setattr(Landing, "read_week", None)
    remembered, reasons = quarantine_week(landing, WEEK)
    assert remembered == read_again
    assert reasons == {"unknown event type 'heartbeat'": 1}
