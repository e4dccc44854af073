"""Nothing lost, nothing twice, the loop included: after any history of logs, sensor ticks and backfills, every week is that of a clean run.

At the end no more is built again than what ``memloop status`` names as stale: a week that it should have named and did not would differ.
More histories: ``MEMLOOP_HISTORIES=50 pytest memloop_tests/loop/test_any_history.py``.
"""

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from memloop_assets.home import Home
from memloop_assets.simulate import ARMS
from memloop_assets.staleness import moved_weeks
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import attempt, open_at, run_weeks_through_dagster, tick_sensor, write_settings
from memloop_tests.trajectories.histories import STEPS, Fleet, Step, append, without_files
from memloop_tests.trajectories.samples import NOON, WEEK

HISTORIES = int(os.environ.get("MEMLOOP_HISTORIES", "2"))
TABLES = (
    "session_logs",
    "trajectories",
    "quarantined_lines",
    "trajectory_quality",
    "sft_examples",
    "preference_pairs",
    "router_samples",
    "dataset_snapshot",
)

ASSETS = ("benchmark_suite", *TABLES)


def line_of_attempt(number: int, minutes: float) -> bytes:
    """Return one of the four lines of an attempt that runs on over the end of a week; every ninth line cannot be read."""
    attempt_number, place = divmod(number, 4)
    arm, reward = list(ARMS)[attempt_number % 2], (attempt_number % 5) / 4
    told = attempt(NOON, attempt_number, f"Request {attempt_number % 3}", arm=arm, reward=reward)[place]
    kind = {"type": "odd", "n": number} if number % 9 == 8 else {}
    at = WEEK.end + timedelta(minutes=minutes, days=-1 if place < 2 else 0)
    return json.dumps({**told, **kind, "timestamp": at.isoformat()}).encode() + b"\n"


@dataclass
class Loop(Fleet):
    """Such a fleet in a home whose sensor watches it and whose datasets are backfilled now and then."""

    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    def tick(self) -> bool:
        """Tick the sensor and run what it asks for; tell whether it asked for anything."""
        requests, _ = tick_sensor(self.root, self.instance)
        for request in requests:
            week = IsoWeek.parse(str(request.partition_key))
            self.run(week, week, {"dagster/run_key": str(request.run_key)})
        return bool(requests)

    def run(
        self,
        first: IsoWeek,
        last: IsoWeek,
        tags: Mapping[str, str] | None = None,
        assets: Sequence[str] = ASSETS,
    ) -> None:
        """Run the datasets of a range of weeks, or some of their tables, in one run."""
        ran = run_weeks_through_dagster(
            self.root, first, last, job="datasets", assets=assets, instance=self.instance, tags=tags
        )
        assert ran.success


def tick(fleet: Fleet, draw: random.Random) -> None:
    del draw
    assert isinstance(fleet, Loop)
    fleet.tick()


def backfill(fleet: Fleet, draw: random.Random) -> None:
    """Build a part of the weeks, perhaps before all of their lines are landed."""
    assert isinstance(fleet, Loop)
    weeks = fleet.landing.weeks()
    if weeks:
        first, last = sorted(draw.choices(weeks, k=2))
        fleet.run(first, last)


def run_on(fleet: Fleet, draw: random.Random) -> None:
    """Let the sensor see the first half of an attempt before the second, which lies in the week after, is written."""
    for whole_in in (2, 0):
        while len(fleet.lines) % 4 != whole_in:
            fleet.lines.append(fleet.make(len(fleet.lines), len(fleet.lines)))
            fleet.write(fleet.lines[-1])
        fleet.ingest()
        tick(fleet, draw)


def history(draw: random.Random) -> list[Step]:
    """Return random steps between appends; a backfill and ticks of the sensor are among them before the last lines come."""
    drawn = draw.choices([*STEPS, tick, backfill, run_on], k=7)
    return [append, append, *drawn[:3], append, *drawn[3:6], backfill, append, *drawn[6:], run_on]


def mend(loop: Loop, home: Home, weeks: list[IsoWeek]) -> None:
    """Build again, table by table in flow order, exactly the weeks that are named stale, and those that were never built."""
    for table in TABLES:
        stale = moved_weeks(home.store, [table], home.landing.landed_lines()).get(table, {})
        for week in weeks:
            if week in stale or not home.store.is_readable(table, week):
                loop.run(week, week, assets=(table,))


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_after_any_history_of_logs_ticks_and_backfills_every_week_is_that_of_one_clean_run(
    tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)  # noqa: S311  # a history to replay, not a secret
    lived, clean = tmp_path / "lived", tmp_path / "clean"
    for folder in (lived, clean):
        write_settings(folder)
    home, once = open_at(lived), open_at(clean)
    loop = Loop(lived, home.landing, line_of_attempt, 24)
    for step in history(draw):
        step(loop, draw)
        loop.ingest()  # what nobody looks at before it is overwritten is gone
    while loop.tick():
        pass
    weeks = list(weeks_between(home.landing.weeks()[0], home.landing.weeks()[-1]))
    mend(loop, home, weeks)
    assert moved_weeks(home.store, TABLES, home.landing.landed_lines()) == {}
    path = clean / "logs" / "session.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"".join(loop.lines))
    once.landing.ingest(path, ReadOptions())
    assert list(weeks_between(once.landing.weeks()[0], once.landing.weeks()[-1])) == weeks
    assert run_weeks_through_dagster(clean, weeks[0], weeks[-1], job="datasets", assets=ASSETS).success
    row_count = {table: sum(once.store.read(table, week).num_rows for week in weeks) for table in TABLES}
    assert min(row_count.values()) > 0, row_count
    for week in weeks:
        for table in TABLES[1:]:
            ours, theirs = (without_files(found.store.read(table, week).to_pylist()) for found in (home, once))
            assert ours == theirs, f"{table} {week}"
        ours, theirs = (found.store.read("session_logs", week)["line_count"].to_pylist() for found in (home, once))
        assert sum(ours) >= sum(theirs), f"session_logs {week}"
    for found in (home, once):
        found.state.close()
