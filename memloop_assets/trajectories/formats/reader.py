"""What every log reader speaks: events, rejected lines, and the protocol that turns the bytes of a source into them.

A reader knows one log shape and nothing else: not weeks, not trajectories, not where files lie.
"""

import json
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

import orjson

EventKind = Literal["message", "tool_call", "error", "decision", "route", "outcome"]
Origin = Literal["live", "benchmark", "probe", "replay", "review"]
ORIGINS: tuple[Origin, ...] = ("live", "benchmark", "probe", "replay", "review")

# A clock outside these years was never set (the zero times of Go and Unix, seconds since boot), or counts in another unit.
_FIRST_YEAR, _LAST_YEAR = 2000, 2199
_DEEPEST = 240  # levels: orjson writes 254, and a row wraps a line's fields in a few more
_NOTHING: Mapping[str, object] = {}
_OTHER_ROLE: Mapping[str, object] = {"role": None}
_SLIM_ROLES: Mapping[str, Mapping[str, object]] = {role: {"role": role} for role in ("user", "system")}
_BOM = b"\xef\xbb\xbf"
_AS_ZERO = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_LONG_NUMBER = b"0" * 19

CONTENT_MISSING = "content_missing"  # the field of ``extra`` in which a reader says which side of a call has no content

_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What is known of a source besides its bytes.

    ``timezone`` reads naive stamps; ``fallback_at`` serves lines before the first readable stamp. ``arm`` and ``start_at`` are told on the
    command line for formats that log neither.
    """

    source_id: str
    file_name: str
    timezone: tzinfo
    fallback_at: datetime
    origin: Origin = "live"
    arm: str | None = None
    start_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallPart:
    """What ties an event to the model call that it reports, for formats that log calls and not events; ``calls`` makes use of it.

    ``message_key`` is the identity of a chat message by what it says, ``repeat_key`` that of an event that other lines may repeat, and
    ``tool_call_id`` that of a tool call. ``is_answer`` says that the call brought the event back, ``is_partial`` that other lines may hold
    more of the same message, ``is_note`` that the event is bookkeeping or sums up others.
    """

    call_id: str
    message_key: str | None = None
    repeat_key: str | None = None
    tool_call_id: str | None = None
    is_answer: bool = False
    is_partial: bool = False
    is_note: bool = False


@dataclass(slots=True)
class Event:
    """One log line (or one message of a record), read: when, whose, what kind, and its content.

    ``payload`` holds the fields that memloop knows for the kind, ``extra`` every other field of the line.
    """

    kind: EventKind
    at: datetime
    line_number: int
    payload: Mapping[str, object]
    source_id: str = ""
    ordinal: int = 0
    session_id: str | None = None
    task_id: str | None = None
    user_id: str | None = None
    decision_id: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    is_synthetic_time: bool = False
    call: CallPart | None = None
    packed: bytes | None = None
    """Payload and extra as JSON while the event is packed."""

    def pack(self) -> None:
        """Keep what the event says as JSON, a fraction of the size, and of its payload but whether a user or the system said it."""
        # a copy: what orjson returns keeps the room in which it was written, several kilobytes
        self.packed = bytes(memoryview(orjson.dumps([self.payload, self.extra], option=orjson.OPT_NON_STR_KEYS)))
        # ids repeat on every line of a session
        self.session_id = sys.intern(self.session_id) if self.session_id else self.session_id
        self.task_id = sys.intern(self.task_id) if self.task_id else self.task_id
        self.slim()

    def unpack(self) -> None:
        """Undo ``pack``."""
        self.payload, self.extra = self.said()
        self.packed = None

    def said(self) -> tuple[Mapping[str, object], Mapping[str, object]]:
        """Return payload and extra, packed or not."""
        return (self.payload, self.extra) if self.packed is None else orjson.loads(self.packed)

    def slim(self) -> None:
        """Forget what the event says, but for whether a user or the system said it."""
        role = self.payload.get("role")
        self.payload = _SLIM_ROLES.get(str(role), _OTHER_ROLE)
        self.extra = _NOTHING


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that could not be read, whole, with the reason; ``at`` is its own stamp, or without one that of the line before."""

    line_number: int
    at: datetime
    reason: str
    raw: bytes
    source_id: str = ""


class Line(NamedTuple):
    """One raw line of a source with its place: 1-based number and the byte offsets between which it lies."""

    number: int
    start_offset: int
    end_offset: int
    raw: bytes


class Reader(Protocol):
    """A log shape: how its bytes fall into lines, and what a line says.

    A format that is not made of lines calls its records lines, numbers them from 1 and gives each the whole file as its place.
    ``lines`` starts at the start of a line and ends before ``end_offset``. ``read_line`` gets the stamp of the line before it (or the
    source's ``fallback_at``) and returns the line's events, or one Rejected; it never raises for content.
    ``has_global_ids`` says that ids hold across the files of a folder, whatever these are called.
    """

    name: str
    needs_arm: bool
    needs_start_week: bool
    has_global_ids: bool

    def lines(self, file: BinaryIO, start_offset: int, start_line: int, end_offset: int) -> Iterator[Line]:
        """Yield the lines between two offsets without blank ones. Raises BadInput where the whole file is not of this format."""
        ...

    def read_line(self, line: Line, source: SourceFacts, before: datetime) -> list[Event] | Rejected:
        """Return what one line says."""
        ...


class JsonLinesReader(ABC):
    """What readers of JSON lines share: how the bytes fall into lines, and that a line that is no JSON object is rejected."""

    name = ""
    needs_arm = False
    needs_start_week = False
    has_global_ids = False

    def lines(self, file: BinaryIO, start_offset: int, start_line: int, end_offset: int) -> Iterator[Line]:
        """Yield the non-blank lines."""
        return json_lines(file, start_offset, start_line, end_offset)

    def read_line(self, line: Line, source: SourceFacts, before: datetime) -> list[Event] | Rejected:
        """Return the events of a line's object, or why there is none."""
        found = parse_object(line.raw)
        if isinstance(found, str):
            return Rejected(line.number, before, found, line.raw, source.source_id)
        return self.read_object(found, line, source, before)

    @abstractmethod
    def read_object(
        self, found: dict[str, Any], line: Line, source: SourceFacts, before: datetime
    ) -> list[Event] | Rejected:
        """Return what the object of a line says; each format has its own."""


def json_lines(file: BinaryIO, start_offset: int, start_line: int, end_offset: int) -> Iterator[Line]:
    """Yield the non-blank lines of a JSON-lines file between two offsets, without their line ends and a BOM.

    Nothing after ``end_offset`` is looked at: a live log may be growing in the middle of a line.
    """
    if start_offset >= end_offset:
        return
    file.seek(start_offset)
    offset = start_offset
    for number, whole in enumerate(file, start_line):
        raw = whole if offset + len(whole) <= end_offset else whole[: end_offset - offset]
        start, offset = offset, offset + len(raw)
        text = raw.removeprefix(_BOM).strip(b" \t\r\n")
        if text:
            yield Line(number, start, offset, text)
        if offset >= end_offset:
            return


def parse_object(raw: bytes) -> dict[str, object] | str:
    """Return a line's JSON object, or the reason in words why it is none; numbers beyond 64 bits are kept as text, digit for digit."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return explain_bad_json(raw, str(error))
    if not isinstance(value, dict):
        return f"a JSON {type(value).__name__}, not an object"
    if len(raw) > 2 * _DEEPEST and raw.count(b"[") + raw.count(b"{") > _DEEPEST and depth_of(value) > _DEEPEST:
        return f"nested deeper than {_DEEPEST} levels"
    return json.loads(raw, parse_int=_read_whole_number) if _LONG_NUMBER in raw.translate(_AS_ZERO) else value


def _read_whole_number(text: str) -> int | str:
    """Return a whole number where 64 bits hold it, else its digits: an id must not be rounded into another one."""
    return number if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**64 else text


def depth_of(value: object) -> int:
    """Return how many containers deep a JSON value goes, without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def explain_bad_json(raw: bytes, message: str) -> str:
    """Return why a line is not JSON, in the words of the mistakes that logs really hold."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 at byte {error.start}"
    if re.search(rb"[:,\[]\s*-?(NaN|Infinity)\b", raw):
        return "NaN or Infinity, which JSON does not have"
    if b"\x00" in raw:
        return "a NUL byte"
    if re.search(rb"\}\s*\{", raw) and raw.endswith(b"}"):
        return "two objects on one line"
    if raw.startswith(b"{") and not raw.endswith(b"}"):
        return "cut off: the object never ends"
    return f"not JSON ({message.split(':', maxsplit=1)[0]})"


def read_stamp(value: object, zone: tzinfo) -> datetime | None:
    """Return a stamp as an aware UTC datetime: ISO 8601 (naive read in the zone) or epoch seconds / milliseconds; None if neither.

    A stamp before 2000 or after 2199 is none either: such a clock was never set. A naive local time that a DST change skips or repeats is
    read as its first occurrence (fold 0).
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            if moment.tzinfo is not UTC:
                moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= 1e11 else value
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def date_in_name(file_name: str) -> date | None:
    """Return the date that a file name carries (``session_2026-03-17.jsonl``), None where it carries none."""
    for found in _DATE_IN_NAME.finditer(file_name):
        try:
            named = date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError:
            continue
        if _FIRST_YEAR <= named.year <= _LAST_YEAR:
            return named
    return None


def canonical_json(value: object) -> str:
    """Return a value as canonical JSON: sorted keys, no spaces. Equal values give equal text, whatever the log's spelling was."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
