"""Whether logs that a live process writes are read once and whole while the sensor and backfills run over them.

One process writes a native log and a gateway's chat log: last lines that stay half written for a while, late lines, lines that cannot be
read, rotation (`session.jsonl.1`, `.2.gz`, …: renamed, then compressed in its place). Meanwhile the sensor `new_log_lines` ticks over the
native log and the runs that it asks for run in this process, `memloop ingest` reads the chat log, and `memloop backfill` runs over all
weeks, both as processes of their own. When the writer has ended, everything is read once more and backfilled. A second home ingests every
line once, from one file per log, and is backfilled once. Every weekly table of both is compared, row by row, without what tells the file
that a line came from. Prints the counts, and ends with status 1 where a row differs.

Not measured: many writers, files of gigabytes, logs that are truncated before anybody has looked at them (these lines are gone).

    python benchmarks/live_writer.py [--minutes 10] [--seed 0]
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from memloop_assets.dagster_process import prepare_instance
from memloop_assets.home import Home, open_home
from memloop_assets.simulate import ARMS
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek, weeks_between

FIRST, WEEK_COUNT = IsoWeek(2026, 2), 4
COMMAND = [sys.executable, "-c", "import sys; from memloop_assets.cli import main; sys.exit(main())"]
TABLES = (
    "trajectories",
    "quarantined_lines",
    "trajectory_quality",
    "sft_examples",
    "preference_pairs",
    "router_samples",
    "dataset_snapshot",
)
OF_FILES = ("source_id", "file_name", "first_line", "last_line", "line_number")
ROTATE_BYTES, ROTATIONS = 60_000, 500
PAUSE_S = 0.02


@dataclass
class Log:
    """One log that is written and rotated, and beside it every whole line that was ever written to it."""

    path: Path
    whole: Path
    line_count: int = 0

    def write(self, line: bytes, drawn: random.Random) -> None:
        """Append a line, now and then in two halves with a pause between them."""
        cut = drawn.randrange(1, len(line)) if drawn.random() < 0.1 else 0
        with self.path.open("ab", buffering=0) as file:
            if cut:
                file.write(line[:cut])
                time.sleep(drawn.uniform(0.0, 1.0))
            file.write(line[cut:])
        with self.whole.open("ab") as file:
            file.write(line)
        self.line_count += 1
        if self.path.stat().st_size > ROTATE_BYTES:
            self._rotate()

    def _rotate(self) -> None:
        """Shift every rotated file by one, rename the live one, and compress what was rotated before."""
        for number in range(ROTATIONS, 0, -1):
            for ending in ("", ".gz"):
                rotated = self.path.with_name(f"{self.path.name}.{number}{ending}")
                if rotated.exists():
                    rotated.rename(self.path.with_name(f"{self.path.name}.{number + 1}{ending}"))
        self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        older = self.path.with_name(f"{self.path.name}.2")
        if older.exists():
            with gzip.open(f"{older}.gz", "wb") as packed:
                packed.write(older.read_bytes())
            older.unlink()


def native_lines(number: int, at: datetime, drawn: random.Random) -> Iterator[bytes]:
    """Yield one attempt as the native log writes it; now and then with a line that cannot be read."""
    ids = {"session_id": f"s{number // 3}", "task_id": f"t{number}", "user_id": f"u{number % 7}"}
    arm, reward = drawn.choice(list(ARMS)), drawn.random()
    events: list[dict[str, object]] = [
        {"type": "message", "role": "user", "content": f"Request {number % 40}: convert {number % 40} inches"},
        {"type": "route", "arm": arm, "candidate_arms": list(ARMS), "propensity": 0.2},
        {"type": "tool_call", "tool": "convert", "args": {"n": number}, "result": "ok"},
        {"type": "message", "role": "assistant", "content": f"It is {number} by {arm}."},
        {"type": "outcome", "success": reward > 0.5, "reward": reward, "label_source": "checker", "cost_usd": 0.001},
    ]
    for place, event in enumerate(events):
        stamp = (at + timedelta(seconds=place)).isoformat()
        yield json.dumps({**event, **ids, "timestamp": stamp}).encode() + b"\n"
        if drawn.random() < 0.02:
            yield json.dumps({"type": "odd", "n": number, "place": place, "timestamp": stamp}).encode() + b"\n"


def chat_lines(number: int, at: datetime, drawn: random.Random) -> Iterator[bytes]:
    """Yield a session of two calls as a gateway writes it: the second repeats the history of the first."""
    history: list[dict[str, str]] = []
    for turn in range(2):
        history.append({"role": "user", "content": f"Question {number} {turn}"})
        answer = {"role": "assistant", "content": f"Answer {number} {turn}"}
        began = (at + timedelta(seconds=10 * turn)).timestamp()
        call = {
            "id": f"c{number}-{turn}",
            "session_id": f"g{number}",
            "model": drawn.choice(list(ARMS)),
            "messages": history,
            "response": {"choices": [{"message": answer}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
            "startTime": began,
            "endTime": began + 1,
            "response_cost": 0.001 if drawn.random() > 0.02 else -1,
        }
        yield json.dumps(call).encode() + b"\n"
        history.append(answer)


def write_logs(folder: Path, minutes: float, seed: int) -> None:
    """Write both logs for so long; the weeks pass with the minutes, and one attempt in ten comes late."""
    drawn, began, length_s = random.Random(seed), time.monotonic(), minutes * 60  # noqa: S311  # a log, no secrets
    logs = []
    for room, name in (("agents", "session.jsonl"), ("gateway", "calls.jsonl")):
        (folder / "logs" / room).mkdir(parents=True, exist_ok=True)
        (folder / "whole" / room).mkdir(parents=True)
        logs.append(Log(folder / "logs" / room / name, folder / "whole" / room / name))
    number = 0
    while (passed_s := time.monotonic() - began) < length_s:
        number += 1
        week = FIRST.shift(int(WEEK_COUNT * passed_s / length_s))
        at = FIRST.start + (timedelta(weeks=WEEK_COUNT) - timedelta(minutes=5)) * (passed_s / length_s)
        if drawn.random() < 0.1 and week > FIRST:
            at -= timedelta(weeks=drawn.randint(1, weeks_apart(FIRST, week)))
        make, log = (chat_lines, logs[1]) if drawn.random() < 0.3 else (native_lines, logs[0])
        for line in make(number, at, drawn):
            log.write(line, drawn)
            time.sleep(PAUSE_S)
    print(json.dumps({log.path.name: log.line_count for log in logs}))


def weeks_apart(first: IsoWeek, last: IsoWeek) -> int:
    """Return how many weeks lie between two weeks."""
    return sum(1 for _ in weeks_between(first, last)) - 1


def memloop(home: Path, *arguments: str) -> tuple[int, str]:
    """Run a command on a home, as people do; return its status and what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMLOOP", "DAGSTER"))}
    done = subprocess.run(  # noqa: S603  # this project's own command
        [*COMMAND, "--home", str(home), *arguments], capture_output=True, text=True, check=False, env=kept
    )
    return done.returncode, done.stdout + done.stderr


def make_home(folder: Path) -> Path:
    """Make a home whose sensor watches the native log."""
    folder.mkdir(parents=True)
    prices = "".join(f"\n[arms.{name}]\nusd_per_call = {arm.price_usd!r}\n" for name, arm in ARMS.items())
    settings = f'first_week = "{FIRST}"\n[logs]\nfolders = ["logs/agents"]\n{prices}'
    (folder / "memloop.toml").write_text(settings, encoding="utf-8")
    return folder


def opened(folder: Path) -> Home:
    """Open a home to look at it."""
    return open_home(folder, {}, lambda: datetime.now(tz=UTC))


class Reading:
    """Everything that reads the logs while they are written, and counts of it."""

    def __init__(self, folder: Path) -> None:
        """Keep the home; Dagster's definitions are imported here, for they read its first week."""
        os.environ.update(prepare_instance(folder))
        from memloop_assets.definitions import defs  # noqa: PLC0415  # it reads the home's first week
        from memloop_assets.orchestration.sensors import new_log_lines  # noqa: PLC0415  # likewise

        self.folder, self.home, self.defs, self.sensor = folder, opened(folder), defs, new_log_lines
        self.counts: Counter[str] = Counter()
        self.half_lines: set[tuple[str, int]] = set()
        self.is_over = threading.Event()

    def tick(self, instance: dg.DagsterInstance) -> bool:
        """Tick the sensor once and run what it asks for; tell whether it asked for anything."""
        from memloop_assets.orchestration.resources import MemloopHome  # noqa: PLC0415  # likewise

        context = dg.build_sensor_context(
            instance=instance,
            repository_def=self.defs.get_repository_def(),
            resources={"home": MemloopHome(folder=str(self.folder))},
        )
        requests = list(self.sensor.evaluate_tick(context).run_requests or [])
        self.counts["ticks"] += 1
        self._look_for_half_lines()
        for request in requests:
            done = self.defs.resolve_job_def("datasets").execute_in_process(
                instance=instance,
                partition_key=request.partition_key,
                tags={**request.tags, "dagster/run_key": str(request.run_key)},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
            self.counts["sensor runs"] += 1
            self.counts["sensor runs refused or failed"] += not done.success
            for event in done.filter_events(lambda event: event.is_step_failure):
                error = event.step_failure_data.error
                said = (error.cause or error).message.strip().splitlines() if error else []
                print(f"  sensor run of {request.partition_key}: {event.step_key}: {said[:1]}", flush=True)
        return bool(requests)

    def _look_for_half_lines(self) -> None:
        for name in ("native", "openai-chat"):
            for known in self.home.landing.index.alike(ReadOptions(name), b""):
                if known.resume and known.resume.open_spans:
                    self.half_lines.add((known.source_id, known.resume.offset))

    def repeat(self, name: str, pause_s: float, *arguments: str) -> threading.Thread:
        """Run a command again and again in a thread until everything is over."""

        def run() -> None:
            while not self.is_over.wait(pause_s):
                status, said = memloop(self.folder, *arguments)
                self.counts[name] += 1
                self.counts[f"{name} with status {status}"] += 1
                if status:
                    print(f"  {name}: status {status}: {said.strip().splitlines()[-1]}", flush=True)

        thread = threading.Thread(target=run)
        thread.start()
        return thread


def rows_of(home: Home, table: str, week: IsoWeek) -> Counter[str]:
    """Return a week's rows, each as JSON without what tells which file its lines came from."""
    found: Counter[str] = Counter()
    for row in home.store.read(table, week).to_pylist():
        kept = {name: value for name, value in row.items() if name not in OF_FILES}
        if "extra_json" in kept:
            kept["extra_json"] = [fields for _, _, fields in json.loads(kept["extra_json"])]
        found[json.dumps(kept, sort_keys=True, default=str)] += 1
    return found


def compare(lived: Home, clean: Home, tell: Callable[[str], None]) -> tuple[int, int]:
    """Return how many rows the clean home holds and how many differ, either way."""
    row_count, mismatches = 0, 0
    for week in weeks_between(FIRST, FIRST.shift(WEEK_COUNT - 1)):
        lines = [sum(s.span.line_count for s in home.landing.sources(week)) for home in (lived, clean)]
        if lines[0] != lines[1]:
            mismatches += abs(lines[0] - lines[1])
            tell(f"{week} landed lines: {lines[0]:,} where there are {lines[1]:,}")
        for table in TABLES:
            ours, theirs = rows_of(lived, table, week), rows_of(clean, table, week)
            row_count += theirs.total()
            differing = (ours - theirs).total() + (theirs - ours).total()
            mismatches += differing
            if differing:
                tell(f"{week} {table}: {ours.total():,} rows where there are {theirs.total():,}; {differing:,} differ")
    return row_count, mismatches


def main() -> int:
    """Write, read meanwhile, compare; return 0 where nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)  # the writer's own process
    wanted = parser.parse_args()
    if wanted.write:
        write_logs(wanted.write, wanted.minutes, wanted.seed)
        return 0
    weeks = f"{FIRST}..{FIRST.shift(WEEK_COUNT - 1)}"
    with tempfile.TemporaryDirectory() as scratch:
        folder, clean = make_home(Path(scratch) / "lived"), make_home(Path(scratch) / "clean")
        reading = Reading(folder)
        told = [__file__, "--minutes", str(wanted.minutes), "--seed", str(wanted.seed), "--write", str(folder)]
        with dg.DagsterInstance.get() as instance:
            writer = subprocess.Popen([sys.executable, *told], stdout=subprocess.PIPE, text=True)  # noqa: S603  # itself
            threads = [
                reading.repeat("ingests", 2, "ingest", str(folder / "logs" / "gateway")),
                reading.repeat("backfills", 15, "backfill", weeks),
            ]
            while writer.poll() is None:
                reading.tick(instance)
                time.sleep(1)
            reading.is_over.set()
            for thread in threads:
                thread.join()
            while reading.tick(instance):
                pass
        assert writer.stdout is not None  # noqa: S101  # it was piped
        lines: dict[str, int] = json.loads(writer.stdout.read())
        steps = [(folder, "ingest", folder / "logs" / "gateway"), (folder, "backfill", weeks)]
        steps += [(clean, "ingest", folder / "whole"), (clean, "backfill", weeks)]
        for home, command, argument in steps:
            status, said = memloop(home, command, str(argument))
            if status:
                raise SystemExit(f"memloop {command} at the end ended with {status}:\n{said}")
        row_count, mismatches = compare(reading.home, opened(clean), print)
    print(f"lines written: {sum(lines.values()):,} ({', '.join(f'{name} {count:,}' for name, count in lines.items())})")
    print(*(f"{name}: {count:,}" for name, count in sorted(reading.counts.items())), sep="\n")
    print(f"half-written last lines seen: {len(reading.half_lines):,}")
    print(f"weeks: {WEEK_COUNT}, rows compared: {row_count:,}, mismatches: {mismatches:,}")
    return 1 if mismatches or writer.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
