"""Lines that could not be read, remembered within a process: trajectories and quarantine of a week are made from one reading.

A reading is known by what its outcome depends on, the checksum of its lines included; where much could not be read, it is read again.
"""

from collections.abc import Sequence

from memloop_assets.trajectories.formats.reader import Rejected
from memloop_assets.trajectories.log_index import Source
from memloop_assets.weeks import IsoWeek

_REMEMBERED_READINGS = 2_048
_REMEMBERED_BYTES = 16_384  # of one reading
_REJECTED: dict[tuple[object, ...], tuple[Rejected, ...]] = {}


def remember(place: object, source: Source, week: IsoWeek, rejected: Sequence[Rejected]) -> None:
    """Keep what could not be read of a source's lines of a week; ``place`` tells landing copies of several homes apart."""
    if sum(len(item.raw) for item in rejected) <= _REMEMBERED_BYTES:
        _REJECTED[_key(place, source, week)] = tuple(rejected)
        if len(_REJECTED) > _REMEMBERED_READINGS:
            del _REJECTED[next(iter(_REJECTED))]


def recall(place: object, source: Source, week: IsoWeek) -> tuple[Rejected, ...] | None:
    """Return what could not be read of the same lines, None where they were not read."""
    return _REJECTED.get(_key(place, source, week))


def _key(place: object, source: Source, week: IsoWeek) -> tuple[object, ...]:
    span = source.span
    lines = (span.start_offset, span.end_offset, span.start_line, span.line_count, span.checksum)
    return (place, week, source.options, source.file_name, source.fallback_at, *lines)
