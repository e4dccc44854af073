"""The format of a log file told from its first lines. It says what it saw where it cannot tell; what a format means is in ``formats``."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from memloop_assets.errors import BadInput
from memloop_assets.trajectories.formats.catalogue import READERS
from memloop_assets.trajectories.formats.reader import parse_object
from memloop_assets.trajectories.static_copy import read_head

AUTO = "auto"

_JSON_LINES = re.compile(r"\.jsonl(\.|$)")
_LINES, _BYTES = 20, 1 << 20  # what is looked at: so many lines that are not blank, of so many bytes
_LONGEST_LINE = 64 << 20  # a first line without an end within this is no longer waited for
_NATIVE = ("message", "tool_call", "error", "decision", "route", "outcome")

Fields = Mapping[str, object]


def _is_native(line: Fields) -> bool:
    return line.get("type") in _NATIVE


def _is_claude_code(line: Fields) -> bool:
    named = any(name in line for name in ("sessionId", "parentUuid", "leafUuid", "messageId"))
    return isinstance(line.get("type"), str) and named and line["type"] not in _NATIVE


def _is_openai_chat(line: Fields) -> bool:
    request = line.get("request")
    asked = "messages" in line or (isinstance(request, dict) and "messages" in request)
    return asked and line.get("type") not in _NATIVE


def _is_otlp(line: Fields) -> bool:
    return any(name in line for name in ("resourceSpans", "resourceLogs", "resourceMetrics"))


_SIGNS: Mapping[str, Callable[[Fields], bool]] = {
    "native": _is_native,
    "claude-code": _is_claude_code,
    "openai-chat": _is_openai_chat,
    "otlp": _is_otlp,
}


def sniff(path: Path) -> str:
    """Return the name of the format that a file's first lines show; raises BadInput where they show none, or more than one.

    A file without any content is native: there is nothing to read wrongly. So is a file of JSON lines that shows nothing known: its
    lines are then quarantined, each with its reason. A first line that is still being written shows nothing yet and is refused: read as
    native now, it would stay in quarantine and be read once more, in its own format, when it is whole.
    """
    head = read_head(path, _BYTES).removeprefix(b"\xef\xbb\xbf")
    lines = [line for raw in head.split(b"\n") if (line := raw.strip(b" \t\r"))][:_LINES]
    if not lines:
        return "native"
    if lines[0].startswith(b"["):
        if b'"traj"' in head and b'"task_id"' in head:
            return "tau-bench"
        if not _JSON_LINES.search(path.name):
            raise _unknown("a JSON array, but not of tau-bench's runs")
    objects = [found for line in lines if isinstance(found := parse_object(line), dict)]
    if not objects and lines[0].startswith(b"{") and b'"resourceSpans"' in head:
        return "otlp"  # one export, printed over many lines
    shown = {name for found in objects for name, is_shown in _SIGNS.items() if is_shown(found)}
    if len(shown) > 1:
        raise BadInput("log format", f"the lines look like {' and '.join(sorted(shown))}", _FIX)
    if (
        not objects
        and b"\n" not in head
        and b"\n" not in (longer := read_head(path, _LONGEST_LINE))
        and len(longer) < _LONGEST_LINE
    ):
        raise BadInput("log format", "its first line is not whole yet", f"ingest it again once it is, or {_FIX}")
    if not shown and _JSON_LINES.search(path.name):
        return "native"
    if not shown:
        kinds = sorted({f"type {found['type']!r}"[:60] for found in objects if "type" in found})
        names = ", ".join(sorted({name for found in objects for name in found})[:8])
        raise _unknown(f"objects with {', '.join(kinds[:3]) or names or 'no field'}" if objects else "no JSON object")
    return shown.pop()


_FIX = f"name it with --format, one of {', '.join(READERS)}"


def _unknown(seen: str) -> BadInput:
    return BadInput("log format", f"the first lines show none that memloop knows: {seen}", _FIX)
