"""Log folders as they lie on disk: which files have changed since they were read, by their stat alone, and landing these.

Asks for nothing and knows no week that is offered: that is the sensor's business.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memloop_assets.disk_faults import is_of_home
from memloop_assets.errors import BadInput, MemloopError
from memloop_assets.trajectories.landing import Landing, place_of
from memloop_assets.trajectories.log_index import reading_of
from memloop_assets.trajectories.sources import FileReport, ReadOptions, is_log_name
from memloop_assets.trajectories.static_copy import FileStat


@dataclass(slots=True)
class Watched:
    """What one look at the folders found: reports of what was landed, faults in words, folders that are not there, files left for later."""

    file_count: int = 0
    reports: list[FileReport] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    left_count: int = 0


def land_changes(
    landing: Landing, folders: Sequence[Path], options: ReadOptions, *, file_limit: int, byte_limit: int
) -> Watched:
    """Land what is new in the log files below some folders; a file costs a stat unless its size, time or inode has changed.

    No further file is begun once ``file_limit`` files or ``byte_limit`` bytes were read: the next look goes on there, files that were never
    read first, then those that have waited longest. A file that was read before in another way (another format) is left to whoever
    ingested it so. Faults of single files are told, not raised.
    """
    watched = Watched(missing=[str(folder) for folder in folders if not folder.is_dir()])
    seen, reading = landing.index.seen_files(), reading_of(options)
    changed: list[tuple[bool, int, Path, int]] = []
    for path, stat in (found for folder in folders if folder.is_dir() for found in _log_files(folder)):
        watched.file_count += 1
        known = seen.get(place_of(path), {})
        if stat.byte_count > 0 and known.get(reading) != stat and (reading in known or not known):
            changed.append((reading in known, stat.modified_ns, path, stat.byte_count))
    byte_count = 0
    for number, (_, _, path, size) in enumerate(sorted(changed)):
        if number >= file_limit or byte_count >= byte_limit:
            watched.left_count = len(changed) - number
            break
        byte_count += size
        try:
            watched.reports.append(landing.ingest(_readable(path), options))
        except (MemloopError, OSError) as error:
            if is_of_home(error):
                raise  # no other file would fare better
            watched.faults.append(f"{os.fsencode(path.name).decode('utf-8', 'backslashreplace')}: {error}")
    return watched


def _readable(path: Path) -> Path:
    """Return a path whose name can be written down; raises BadInput otherwise."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BadInput("file name", "it is not UTF-8", "rename the file") from None
    return path


def _log_files(folder: Path) -> Iterator[tuple[Path, FileStat]]:
    """Yield the files below a folder that are named like logs, each with its stat, in the order of their names."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _log_files(Path(entry.path))
            elif is_log_name(entry.name) and entry.is_file():
                yield Path(entry.path), FileStat.of(entry.stat())
        except FileNotFoundError:
            continue  # rotated away between the listing and the look: it lies under its new name next time
