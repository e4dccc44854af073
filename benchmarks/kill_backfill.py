"""Whether a backfill that is killed at random moments ends as one that nobody disturbed: SIGKILL, again and again, seeded.

Homes of one simulated world are backfilled by `memloop backfill`, process and Dagster included. A first one in peace, which gives the
hashes. In the others every backfill is killed up to a second after it has printed a number of lines, both drawn, and started again, until
one has ended before its moment; then the next home, until so many kills have struck a run. Prints where each struck (the last event that
Dagster has of the run; one that struck before or after it is told and not counted), and of each home at its end: kills, runs that hang in
Dagster, and whether manifests, ledger and champion are those of the first. Ends with status 1 where a run hangs or a hash differs.

Not measured: a machine that loses its power (what the kernel had not written is not lost here), and kills of the UI's own runs.

    python benchmarks/kill_backfill.py [--kills 20] [--weeks 6] [--seed 0]
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from memloop_assets.dagster_process import prepare_instance
from memloop_assets.home import Home, open_home
from memloop_assets.simulate import ARMS, World, write_benchmark, write_logs
from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.weeks import IsoWeek

FIRST = IsoWeek(2026, 2)
COMMAND = [sys.executable, "-c", "import sys; from memloop_assets.cli import main; sys.exit(main())"]
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
FIRST_LINE_S = 3.0  # what a backfill does before it prints anything takes about so long
CLOCKED = ("at", "prev_hash", "row_hash")


def memloop(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command on a home, as people do, in a process group of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MEMLOOP", "DAGSTER"))}
    return subprocess.Popen(  # noqa: S603  # this project's own command
        [*COMMAND, "--home", str(home), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
    )


def finish(home: Path, *arguments: str) -> str:
    """Run a command to its end and return what it printed; whatever fails ends the program."""
    process = memloop(home, *arguments)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"memloop {' '.join(arguments)} ended with {process.returncode}:\n{said}")
    return said


def fill(folder: Path, world: World) -> None:
    """Make a home of a world: settings, logs and benchmark, ingested by the command."""
    folder.mkdir(parents=True)
    prices = "".join(f"\n[arms.{name}]\nusd_per_call = {arm.price_usd!r}\n" for name, arm in ARMS.items())
    (folder / "memloop.toml").write_text(f'first_week = "{FIRST}"\n{prices}', encoding="utf-8")
    write_logs(world, folder / "logs")
    write_benchmark(world, folder / "benchmark.parquet", 300)
    finish(folder, "ingest", str(folder / "logs"))
    finish(folder, "benchmark", "import", str(folder / "benchmark.parquet"), "--holdout-share", "0.8")


def opened(folder: Path) -> Home:
    """Open a home to look at it."""
    return open_home(folder, {}, lambda: datetime.now(tz=UTC))


def results_of(folder: Path) -> Mapping[str, object]:
    """Return all that must be the same: every manifest, the ledger without its clock, the live pointer."""
    home = opened(folder)
    found: dict[str, object] = {
        f"{name} {week}": home.store.manifest(name, week) for name in WEEKLY_TABLES for week in home.store.weeks(name)
    }
    found["ledger"] = [{k: v for k, v in asdict(row).items() if k not in CLOCKED} for row in home.ledger.rows()]
    found["champion"] = json.loads(home.places.champion.read_bytes())
    home.state.close()
    return found


def weeks_done(folder: Path) -> str:
    """Return how many weeks of how many tables stand."""
    home = opened(folder)
    counts = [len(home.store.weeks(name)) for name in WEEKLY_TABLES]
    home.state.close()
    return f"{sum(counts)} weeks of {sum(count > 0 for count in counts)} tables done"


def runs_of(folder: Path) -> tuple[list[str], str]:
    """Return the statuses of a home's runs, newest first, and the last event of the newest."""
    with dg.DagsterInstance.from_config(str(prepare_instance(folder)["DAGSTER_HOME"])) as instance:
        runs = instance.get_runs()
        if not runs:
            return [], "no run yet"
        events = [entry.dagster_event for entry in instance.all_logs(runs[0].run_id) if entry.dagster_event]
        last = f"{events[-1].event_type_value} {events[-1].step_key or ''}".strip() if events else "no event yet"
        return [run.status.value for run in runs], last


def kill_after(folder: Path, weeks: str, line_count: int, pause_s: float) -> bool:
    """Start a backfill and kill it, children included, a moment after so many lines; tell whether it was still running."""
    process = memloop(folder, "backfill", weeks)
    assert process.stdout is not None  # noqa: S101  # it is piped
    said = [process.stdout.readline() for _ in range(line_count)]
    try:
        more, _ = process.communicate(timeout=pause_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode:
        raise SystemExit(f"a backfill that nobody killed ended with {process.returncode}:\n{''.join(said)}{more}")
    return False


def main() -> int:
    """Backfill in peace, then under kills; return 0 where nothing tells the two apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--weeks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    world = World(first_week=FIRST, seed=1, week_count=wanted.weeks, trajectories_per_week=60, exploration_ratio=0.8)
    weeks, drawn = f"{world.weeks[0]}..{world.weeks[-1]}", random.Random(wanted.seed)  # noqa: S311  # moments, no secrets
    kills, hanging, differing, round_number = 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        pristine, quiet = Path(scratch) / "pristine", Path(scratch) / "quiet"
        fill(pristine, world)
        shutil.copytree(pristine, quiet)
        finish(quiet, "backfill", weeks)
        right = results_of(quiet)
        print(f"in peace: {weeks}, {len(right) - 2} weeks of tables", flush=True)
        while kills < wanted.kills:
            round_number += 1
            folder, before = Path(scratch) / f"home-{round_number}", kills
            shutil.copytree(pristine, folder)
            while kills < wanted.kills:
                line_count, pause_s = drawn.randint(0, 10), drawn.uniform(0.0, 1.0)
                if not kill_after(folder, weeks, line_count, pause_s + FIRST_LINE_S * (line_count == 0)):
                    break
                statuses, last = runs_of(folder)
                has_struck = bool(statuses) and statuses[0] not in ENDED
                kills += has_struck
                told = f"kill {kills:>3}" if has_struck else "no run struck"
                print(
                    f"  {told} in home {round_number}, {line_count} lines in, at {last}; {weeks_done(folder)}",
                    flush=True,
                )
                if statuses[:1] == ["SUCCESS"]:
                    break
            finish(folder, "backfill", weeks)
            statuses, _ = runs_of(folder)
            hangs = [status for status in statuses if status not in ENDED]
            is_same = results_of(folder) == right
            hanging, differing = hanging + len(hangs), differing + (not is_same)
            print(
                f"home {round_number}: {kills - before} kills, {len(statuses)} runs in Dagster, {len(hangs)} hanging, "
                f"hashes {'the same' if is_same else 'DIFFERENT'}",
                flush=True,
            )
            shutil.rmtree(folder)
    print(f"{kills} kills, {round_number} homes, {hanging} hanging runs, {differing} homes with other hashes")
    return 1 if hanging or differing else 0


if __name__ == "__main__":
    sys.exit(main())
