"""Logs that live: random histories of append, rotate, truncate, rename, compress and touch, and what every line says whatever its file.

What tests of ingesting and of the whole loop start from; no rule is tested here.
"""

import gzip
import json
import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_tests.trajectories.samples import NOON, after, as_lines, logged

OPTIONS = ReadOptions()
OF_FILES = {"source_id", "file_name", "first_line", "last_line", "line_number", "extra_json"}


def line(number: int, minutes: float = 0) -> bytes:
    """Return one line that no other is like; every fifth cannot be read."""
    at = after(minutes=minutes or number)
    if number % 5 == 4:
        return json.dumps({"type": "odd", "n": number, "timestamp": at.isoformat()}).encode() + b"\n"
    return as_lines([logged("message", at, content=f"line {number}", session_id=f"s{number % 3}")])


@dataclass
class Fleet:
    """A folder of logs with a writer, what it has written in all, and a landing that looks at it now and then.

    ``make`` returns the line of a number with the minutes after noon at which it is stamped; ``most`` lines are appended at once.
    """

    root: Path
    landing: Landing
    make: Callable[[int, float], bytes] = line
    most: int = 4
    lines: list[bytes] = field(default_factory=list)
    rotations: int = 0

    @property
    def live(self) -> Path:
        return self.root / "logs" / "session.jsonl"

    def write(self, content: bytes) -> None:
        self.live.parent.mkdir(parents=True, exist_ok=True)
        with self.live.open("ab") as file:
            file.write(content)

    def ingest(self) -> None:
        for path in find_logs(self.live.parent):
            self.landing.ingest(path, OPTIONS)


def append(fleet: Fleet, draw: random.Random) -> None:
    days = draw.choice([0, 0, 0, 7, 14, -7])  # a late line among them
    for _ in range(draw.randint(1, fleet.most)):
        number = len(fleet.lines)
        fleet.lines.append(fleet.make(number, number + days * 24 * 60))
        fleet.write(fleet.lines[-1])


def write_by_halves(fleet: Fleet, draw: random.Random) -> None:
    number = len(fleet.lines)
    fleet.lines.append(fleet.make(number, number))
    cut = draw.randint(1, len(fleet.lines[-1]) - 1)
    fleet.write(fleet.lines[-1][:cut])
    fleet.ingest()
    if draw.random() < 0.5:
        touch(fleet, draw)
        fleet.ingest()
    fleet.write(fleet.lines[-1][cut:])


def rotate(fleet: Fleet, draw: random.Random) -> None:
    if not fleet.live.exists():
        return
    fleet.rotations += 1
    rotated = fleet.live.with_name(f"session.jsonl.{fleet.rotations}")
    if draw.random() < 0.5:
        fleet.live.rename(rotated)
    else:
        rotated.write_bytes(fleet.live.read_bytes())
        fleet.live.write_bytes(b"")


def copy_truncated(fleet: Fleet, draw: random.Random) -> None:
    if fleet.live.exists():
        content = fleet.live.read_bytes()
        fleet.live.with_name(f"copy-{draw.randint(0, 9)}.jsonl").write_bytes(content[: draw.randint(0, len(content))])


def rename(fleet: Fleet, draw: random.Random) -> None:
    for path in sorted(fleet.live.parent.glob("session.jsonl.?"))[:1]:
        path.rename(path.with_name(f"session-{draw.randint(10**7, 10**8)}.jsonl"))


def compress(fleet: Fleet, draw: random.Random) -> None:
    for path in sorted(fleet.live.parent.glob("session.jsonl.?"))[:1]:
        content = path.read_bytes()
        if draw.random() < 0.5:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
        else:
            path.with_name(path.name + ".zst").write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
        if draw.random() < 0.7:
            path.unlink()


def touch(fleet: Fleet, draw: random.Random) -> None:
    if fleet.live.exists():
        stamp = NOON.timestamp() + draw.randint(0, 1000)
        os.utime(fleet.live, (stamp, stamp))


def look(fleet: Fleet, draw: random.Random) -> None:
    del draw
    if fleet.live.parent.exists() and any(fleet.live.parent.iterdir()):
        fleet.ingest()


Step = Callable[[Fleet, random.Random], None]
STEPS: tuple[Step, ...] = (
    append,
    write_by_halves,
    rotate,
    copy_truncated,
    rename,
    compress,
    touch,
    look,
)


def without_files(rows: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Return rows without what tells which file they came from, in an order of their own."""
    return sorted(({k: v for k, v in row.items() if k not in OF_FILES} for row in rows), key=str)
