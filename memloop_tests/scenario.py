"""Small homes with believable logs, and the loop run over them in this process: what tests of the whole loop start from.

Plain functions and no fixtures. What a world looks like is said in ``memloop_assets.simulate``; rules of the loop are tested, not stated.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from memloop_assets.benchmarks.long_table import import_long_table
from memloop_assets.benchmarks.suite import save_suite
from memloop_assets.definitions import defs
from memloop_assets.home import Home, open_home
from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.orchestration.sensors import new_log_lines
from memloop_assets.simulate import ARMS, World, write_benchmark, write_logs
from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_assets.weeks import IsoWeek

FIRST = IsoWeek(2026, 2)
LONG_AFTER = "2026-06-01T00:00:00+00:00"
Line = Mapping[str, object]


WORLD = World(
    first_week=FIRST,
    seed=0,
    week_count=6,
    trajectories_per_week=60,
    exploration_ratio=0.8,
    benchmark_repeat_ratio=0.1,
)
LAST_RUN = FIRST.shift(4)
"""Last week that a finished home has decided; the world's logs go one week further."""


def filled_home(folder: Path) -> Home:
    """Return a copy of the home that holds the world's logs and benchmark, and no table yet."""
    shutil.copytree(_filled(), folder)
    return open_at(folder)


def finished_home(folder: Path) -> Home:
    """Return a copy of that home after one run over all weeks but the last of its logs."""
    shutil.copytree(_finished(), folder)
    return open_at(folder)


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="memloop-tests-")


@cache
def _filled() -> Path:
    folder = Path(_scratch().name) / "filled"
    fill_home(folder, WORLD).state.close()
    return folder


@cache
def _finished() -> Path:
    folder = Path(_scratch().name) / "finished"
    home = filled_home(folder)
    assert run_weeks_through_dagster(folder, FIRST, LAST_RUN).success
    home.state.close()
    return folder


def fill_home(folder: Path, world: World, settings: str = "", logs: Path | None = None) -> Home:
    """Make a home: prices, the benchmark of the world and its logs, written and ingested (``logs``: those that lie there)."""
    write_settings(folder, settings)
    if logs is None:
        logs = folder / "logs"
        write_logs(world, logs)
    home = open_at(folder)
    for path in find_logs(logs):
        home.landing.ingest(path, ReadOptions())
    import_benchmark(home, world)
    return home


def write_settings(folder: Path, settings: str = "") -> None:
    """Write a ``memloop.toml`` with the prices of the world's arms and whatever else is given."""
    folder.mkdir(parents=True, exist_ok=True)
    prices = "".join(f"\n[arms.{name}]\nusd_per_call = {arm.price_usd!r}\n" for name, arm in ARMS.items())
    (folder / "memloop.toml").write_text(f"{settings}\n{prices}", encoding="utf-8")


def import_benchmark(home: Home, world: World, task_count: int = 300) -> None:
    """Import the benchmark of a world, four fifths of it held out."""
    table = home.settings.home / "benchmark.parquet"
    write_benchmark(world, table, task_count)
    save_suite(import_long_table(table, name="drawn", holdout_share=0.8), home.places.benchmark_suite)


def open_at(folder: Path, now: str = LONG_AFTER) -> Home:
    """Open a home with the clock standing still."""
    return open_home(folder, os.environ, lambda: datetime.fromisoformat(now))


def run_weeks_through_dagster(  # noqa: PLR0913  # a run has this many sides
    folder: Path,
    first: IsoWeek,
    last: IsoWeek | None = None,
    *,
    now: str = LONG_AFTER,
    assets: Sequence[str] | None = None,
    instance: dg.DagsterInstance | None = None,
    ops: Mapping[str, Any] | None = None,
    job: str = "weekly_loop",
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run the weekly loop (or another job, or some assets) over a range of weeks in one run of this process, the clock frozen."""
    all_tags = {
        **(tags or {}),
        "dagster/asset_partition_range_start": first.key,
        "dagster/asset_partition_range_end": (last or first).key,
    }
    config = {
        "resources": {"home": {"config": {"folder": str(folder), "frozen_now": now}}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        "ops": ops or {},
    }
    logging.getLogger("memloop.progress").setLevel(logging.WARNING)
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance or dg.DagsterInstance.ephemeral(),
        tags=all_tags,
        asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
        run_config=config,
        raise_on_error=False,
    )


def tick_sensor(folder: Path, instance: dg.DagsterInstance) -> tuple[list[dg.RunRequest], str]:
    """Tick the sensor ``new_log_lines`` once, as the daemon does: what is asked for, and what is said where nothing is."""
    context = dg.build_sensor_context(
        instance=instance,
        repository_def=defs.get_repository_def(),
        resources={"home": MemloopHome(folder=str(folder), frozen_now=LONG_AFTER)},
    )
    data = new_log_lines.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message or ""


def manifests(home: Home) -> dict[str, dict[str, Any]]:
    """Return the manifest of every weekly table and week: generation, inputs, hashes of schema and settings, verdicts."""
    return {
        f"{name} {week}": home.store.manifest(name, week) for name in WEEKLY_TABLES for week in home.store.weeks(name)
    }


def decisions(home: Home) -> dict[str, str]:
    """Return the outcome of every decided week, as its table says."""
    weeks = home.store.weeks("promotion_decision")
    return {str(week): decision_of(home, week)["outcome"] for week in weeks}


def decision_of(home: Home, week: IsoWeek) -> dict[str, Any]:
    """Return a week's row of ``promotion_decision``, its reasons joined under ``why``."""
    (row,) = home.store.read("promotion_decision", week).to_pylist()
    return {**row, "why": " ".join(json.loads(row["reasons_json"]))}


def ledger_of(home: Home) -> list[dict[str, object]]:
    """Return the ledger's rows without what a clock wrote: the stamps, and the hashes over them."""
    clocked = ("at", "prev_hash", "row_hash")
    return [{k: v for k, v in asdict(row).items() if k not in clocked} for row in home.ledger.rows()]


def champion_of(home: Home) -> dict[str, Any] | None:
    """Return what ``champion.json`` says of the champion, not of the ledger's newest row; None where there is none."""
    if not home.places.champion.exists():
        return None
    facts: dict[str, object] = json.loads(home.places.champion.read_bytes())
    return {name: value for name, value in facts.items() if name != "ledger"}


def attempt(at: datetime, number: int, request: str, *, arm: str = "small-model", reward: float = 1.0) -> list[Line]:
    """Return the lines of one task attempt with ids: a request, its route, an answer, an outcome."""
    ids = {"session_id": f"s-{at:%G-W%V}-{number}", "task_id": f"t-{at:%G-W%V}-{number}"}
    events: list[dict[str, object]] = [
        {"type": "message", "role": "user", "content": request},
        {"type": "route", "arm": arm, "candidate_arms": list(ARMS), "propensity": 0.2},
        {"type": "message", "role": "assistant", "content": f"Answer {number}."},
        {"type": "outcome", "success": reward >= 0.5, "reward": reward, "label_source": "checker", "cost_usd": 0.001},
    ]
    stamps = ({"timestamp": (at + timedelta(seconds=place)).isoformat()} for place in range(len(events)))
    return [{**event, **ids, **stamp} for event, stamp in zip(events, stamps, strict=True)]


def write_log(path: Path, lines: Iterable[Line]) -> Path:
    """Write lines as a native session log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path
