"""What ingest costs, beside the obvious program, in one run: CPU seconds and peak memory of whole processes, at equal counts.

The product: every file landed as ``memloop ingest`` does it, then session_logs, trajectories, quarantined_lines and trajectory_quality of
every week in one Dagster run, stored and judged. The obvious program is ``obvious_ingest.py``. Both read the same logs of the simulated
fleet, with redaction on and off; ends with status 1 where their counts differ.

It measures short, clean native lines (about 260 bytes, none with a secret) of closed weeks, about 14 MB each, landed once. It does not
measure other formats, logs that grow, weeks much larger than that (five of them are looked at together), disks, or wall time.

    python benchmarks/ingest_cost.py [--megabytes 200] [--one-file] [--memory-only]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve()
MEGABYTES_PER_WEEK = 14.5
TRAJECTORIES_PER_WEEK = 8_200
TABLES = ("session_logs", "trajectories", "quarantined_lines", "trajectory_quality")


@dataclass(frozen=True)
class Cost:
    """What one process took and what it counted."""

    cpu_s: float
    peak_mb: float
    counts: dict[str, int]


def measure(command: Sequence[str], environment: dict[str, str]) -> Cost:
    """Run a program; return its CPU time, peak memory and the counts that it printed last."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([sys.executable, *command], stdout=out, env=environment)  # noqa: S603  # our own scripts
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0)
        lines = out.read().decode().splitlines()
    if status:
        sys.exit(f"{command[0]} ended with status {status}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(lines[-1]))


def write_simulated_logs(folder: Path, megabytes: int, *, is_one_file: bool) -> None:
    """Write the fleet's logs, one file per day or all days in one."""
    from memloop_assets.simulate import World, write_logs
    from memloop_assets.weeks import IsoWeek

    weeks = max(1, round(megabytes / MEGABYTES_PER_WEEK))
    world = World(first_week=IsoWeek(2024, 2), week_count=weeks, trajectories_per_week=TRAJECTORIES_PER_WEEK)
    written = write_logs(world, folder)
    if is_one_file:
        with (folder / "session.jsonl").open("wb") as whole:
            for path in written.files:
                with path.open("rb") as day:
                    shutil.copyfileobj(day, whole)
                path.unlink()
    print(json.dumps({"files": 1 if is_one_file else len(written.files), "weeks": weeks}))


def run_product(logs: Path) -> None:
    """Land the logs in the home of this process, build the four tables of every week in one run, print the counts."""
    import dagster as dg

    from memloop_assets.definitions import defs
    from memloop_assets.orchestration.resources import MemloopHome
    from memloop_assets.orchestration.run_tags import range_tags
    from memloop_assets.trajectories.sources import ReadOptions, find_logs

    opened = MemloopHome().open()
    for path in find_logs(logs):
        opened.landing.ingest(path, ReadOptions())
    weeks = opened.landing.weeks()
    with dg.DagsterInstance.get() as instance:
        defs.resolve_job_def("weekly_loop").execute_in_process(
            instance=instance,
            tags=range_tags(weeks[0], weeks[-1]),
            asset_selection=[dg.AssetKey(name) for name in TABLES],
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        )
    counts = Counter[str]()
    for week in weeks:
        read = opened.store.read
        counts["lines"] += sum(read("session_logs", week, ["line_count"])["line_count"].to_pylist())
        counts["quarantined"] += read("quarantined_lines", week, ["week"]).num_rows
        counts["trajectories"] += read("trajectories", week, ["week"]).num_rows
        counts.update(t.lower() for t in read("trajectory_quality", week, ["quality_tier"])["quality_tier"].to_pylist())
    print(json.dumps(counts))


def open_home_for(folder: Path, *, has_redaction: bool) -> dict[str, str]:
    """Make a home; return the environment of a process that serves it."""
    from memloop_assets.dagster_process import prepare_instance
    from memloop_assets.trajectories.secret_rules import RULES

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    off = json.dumps([] if has_redaction else [rule.name for rule in RULES])
    (folder / "memloop.toml").write_text(f'first_week = "2024-W02"\n\n[redaction]\noff = {off}\n')
    return {**os.environ, **prepare_instance(folder), "PYTHONPATH": str(HERE.parents[1]), "PYTHONWARNINGS": "ignore"}


def compare(folder: Path, *, is_memory_only: bool) -> int:
    """Measure the product, and beside it the obvious program; return 1 where their counts differ."""
    faults = 0
    for word in ("on",) if is_memory_only else ("on", "off"):
        # a process of its own makes the home, so that this one stays small: a child's peak counts its parent's memory
        made = [sys.executable, str(HERE), "--part", "home", str(folder), word]
        environment = json.loads(subprocess.check_output(made))  # noqa: S603  # our own script
        ours = measure([str(HERE), "--part", "product", str(folder), word], environment)
        print(
            f"redaction {word}: memloop {ours.cpu_s:.1f} CPU-s, peak {ours.peak_mb:.0f} MB, {ours.counts}", flush=True
        )
        if is_memory_only:
            continue
        out = folder / "obvious"
        shutil.rmtree(out, ignore_errors=True)
        script = str(HERE.with_name("obvious_ingest.py"))
        theirs = measure([script, str(folder / "logs"), str(out), "--redaction", word], environment)
        print(f"redaction {word}: obvious {theirs.cpu_s:.1f} CPU-s, peak {theirs.peak_mb:.0f} MB, {theirs.counts}")
        print(f"redaction {word}: the obvious program takes {theirs.cpu_s / ours.cpu_s:.2f} times the CPU", flush=True)
        faults += ours.counts != theirs.counts
    print("counts are equal" if not faults else "COUNTS DIFFER")
    return 1 if faults else 0


def main() -> int:
    """Write the logs, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--one-file", action="store_true")
    parser.add_argument("--memory-only", action="store_true", help="the product alone, with redaction on")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)  # what this script runs as a process of its own
    asked = parser.parse_args()
    if asked.part:
        part, folder, word = asked.part[0], Path(asked.part[1]), asked.part[2]
        if part == "logs":
            write_simulated_logs(folder / "logs", int(word), is_one_file=asked.one_file)
        elif part == "home":
            print(json.dumps(open_home_for(folder / "home", has_redaction=word == "on")))
        else:
            run_product(folder / "logs")
        return 0
    with tempfile.TemporaryDirectory(prefix="memloop-ingest-") as name:
        flags = ["--one-file"] if asked.one_file else []
        command = [str(HERE), "--part", "logs", name, str(asked.megabytes), *flags]
        written = measure(command, {**os.environ, "PYTHONPATH": str(HERE.parents[1])})
        byte_count = sum(path.stat().st_size for path in Path(name, "logs").iterdir())
        counts = written.counts
        print(f"{byte_count / 1e6:.0f} MB in {counts['files']} files, {counts['weeks']} weeks", flush=True)
        return compare(Path(name), is_memory_only=asked.memory_only)


if __name__ == "__main__":
    sys.exit(main())
