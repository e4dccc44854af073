"""ISO weeks: the one way in which memloop names time.

A week runs from Monday 00:00 UTC to the next Monday. People see and type ``2026-W12``; Dagster's partition key is the ISO
date of its Monday, ``2026-W12-1``. Knows nothing of Dagster, files or clocks: the time is always passed in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from memloop_assets.errors import BadWeek

_WRITTEN = re.compile(r"(\d{4})-?W(\d{1,2})(?:-?(\d))?", re.IGNORECASE)
_NEARLY = re.compile(
    r"(?<!\d)(20\d{2})(?:\W+W?|W)\W*(\d{1,2})(?!\w|-\d{1,2}(?!\d))", re.IGNORECASE
)  # no date, no day of a week
_SHORT_END = re.compile(r"(?:\.{2,}W?|\W*W)(\d{1,2})", re.IGNORECASE)


@dataclass(frozen=True, order=True, slots=True)
class IsoWeek:
    """One ISO 8601 week; orders by time and prints as ``2026-W12``."""

    year: int
    number: int

    def __post_init__(self) -> None:
        """Refuse a week that the calendar does not have, or whose end lies beyond it."""
        try:
            date.fromisocalendar(self.year, self.number, 1) + timedelta(days=7)
        except (ValueError, OverflowError):
            raise BadWeek(
                "week",
                f"{self.year}-W{self.number:02d} is not in the calendar",
                "use a week from W01 to W52 (some years have W53)",
            ) from None

    def __str__(self) -> str:
        """Write the week as people read it."""
        return f"{self.year:04d}-W{self.number:02d}"

    @classmethod
    def parse(cls, text: str) -> "IsoWeek":
        """Read ``2026-W12``, ``2026W12``, ``2026-w12`` or the partition key ``2026-W12-1``.

        Raises BadWeek for anything else; a day other than Monday is refused rather than rounded.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if not found:
            raise BadWeek("week", f"{text!r} is not an ISO week", _week_meant(text) or "write it like 2026-W12")
        week = cls(int(found[1]), int(found[2]))
        if found[3] not in (None, "1"):
            raise BadWeek("week", f"{text!r} names a day inside a week", f"write {week}, or {week.key} for its Monday")
        return week

    @classmethod
    def of(cls, moment: datetime) -> "IsoWeek":
        """Return the week that holds an aware datetime (read in UTC); a naive one is a caller's bug and raises ValueError."""
        if moment.tzinfo is None:
            message = "IsoWeek.of needs an aware datetime"
            raise ValueError(message)
        return _week_of_day((moment if moment.tzinfo is UTC else moment.astimezone(UTC)).toordinal())

    @property
    def key(self) -> str:
        """Return Dagster's partition key: the ISO week date of the Monday."""
        return f"{self}-1"

    @property
    def start(self) -> datetime:
        """Return Monday 00:00 UTC, inclusive."""
        monday = date.fromisocalendar(self.year, self.number, 1)
        return datetime(monday.year, monday.month, monday.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """Return the next Monday 00:00 UTC, exclusive."""
        return self.start + timedelta(days=7)

    def shift(self, weeks: int) -> "IsoWeek":
        """Return the week that many weeks later (earlier when negative)."""
        return IsoWeek.of(self.start + timedelta(weeks=weeks))

    def is_closed(self, now: datetime) -> bool:
        """Tell whether the whole week lies in the past."""
        return now >= self.end


@lru_cache(maxsize=4096)
def _week_of_day(ordinal: int) -> IsoWeek:
    """Return the week of a day's proleptic ordinal; every log line asks, and a log has few days."""
    calendar = date.fromordinal(ordinal).isocalendar()
    return IsoWeek(calendar.year, calendar.week)


def weeks_between(first: IsoWeek, last: IsoWeek) -> Iterator[IsoWeek]:
    """Yield every week from first to last, both included; nothing when last is earlier."""
    week = first
    while week <= last:
        yield week
        week = week.shift(1)


def parse_week_range(text: str) -> tuple[IsoWeek, IsoWeek]:
    """Read ``2026-W02..2026-W17``, or one week as a range of one; raises BadWeek."""
    first_text, dots, last_text = text.partition("..")
    try:
        first = IsoWeek.parse(first_text)
        last = IsoWeek.parse(last_text) if dots else first
    except BadWeek as error:
        raise BadWeek(error.thing, error.culprit, _range_meant(text) or error.fix) from None
    if last < first:
        raise BadWeek("week range", f"{text!r} ends before it starts", f"write {last}..{first}")
    return first, last


def _week_meant(text: str) -> str:
    """Return a question after the week that a text nearly names, as a date or in another spelling; empty where none is near."""
    try:
        return f"did you mean {_week_of_day(date.fromisoformat(text.strip()[:10]).toordinal())}, the week of that day?"
    except ValueError:
        nearly = _NEARLY.findall(text)
    try:
        return f"did you mean {IsoWeek(*map(int, nearly[0]))}?" if len(nearly) == 1 else ""
    except BadWeek:
        return ""


def _range_meant(text: str) -> str:
    """Return a question after the two weeks that a text names as no range: ``2026-W02-2026-W17``, ``2026-W02..17``; or empty."""
    written = [*_NEARLY.finditer(text)]
    try:
        weeks = [IsoWeek(*map(int, found.groups())) for found in written]
        short = _SHORT_END.fullmatch(text, written[0].end()) if len(written) == 1 else None
        if short:
            weeks.append(IsoWeek(weeks[0].year, int(short[1])))
    except BadWeek:
        return ""
    return f"did you mean {weeks[0]}..{weeks[1]}?" if len(weeks) == 2 else ""
