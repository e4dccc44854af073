"""tau-bench result files: a JSON array of finished runs, each with its messages and a reward.

One record is one session. The files log neither time nor model, so both are told on the command line: records get synthetic stamps,
ten minutes apart from Monday 00:00 of the start week, their messages one second apart, and every event says that its time is synthetic.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import BinaryIO

import orjson

from memloop_assets.errors import BadInput
from memloop_assets.trajectories.formats.reader import Event, EventKind, Line, Rejected, SourceFacts, parse_object

_SESSION_SPACING = timedelta(minutes=10)
_EVENT_SPACING = timedelta(seconds=1)
_READ_FIELDS = {"task_id", "trial", "reward", "traj"}


class TauBenchReader:
    """Reads tau-bench's ``historical_trajectories``."""

    name = "tau-bench"
    needs_arm = True
    needs_start_week = True
    has_global_ids = False

    def lines(self, file: BinaryIO, start_offset: int, start_line: int, end_offset: int) -> Iterator[Line]:
        """Yield one line per record; the offsets of all are those of the whole file. Raises BadInput where it is no JSON array."""
        del start_offset, start_line  # an array is read whole or not at all
        file.seek(0)
        content = file.read(end_offset).removeprefix(b"\xef\xbb\xbf")
        try:
            records = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise BadInput(
                "tau-bench file", f"it is not JSON ({error})", "give a results file as tau-bench writes it"
            ) from error
        if not isinstance(records, list):
            raise BadInput(
                "tau-bench file", "it is not a JSON array of runs", "give a results file as tau-bench writes it"
            )
        for number, record in enumerate(records, start=1):
            try:
                raw = orjson.dumps(record)
            except TypeError:
                raise BadInput(
                    "tau-bench file", f"run {number} is nested too deeply", "give a results file as tau-bench writes it"
                ) from None
            yield Line(number, 0, file.tell(), raw)

    def read_line(self, line: Line, source: SourceFacts, before: datetime) -> list[Event] | Rejected:
        """Return a record's events: the route it took, its messages in order, and its outcome."""
        record = parse_object(line.raw)
        reason = record if isinstance(record, str) else _fault(record)
        start = (source.start_at or before) + (line.number - 1) * _SESSION_SPACING
        if isinstance(record, str) or reason:
            return Rejected(line.number, start, str(reason), line.raw, source.source_id)
        contents: list[tuple[EventKind, Mapping[str, object], Mapping[str, object]]] = [
            (
                "route",
                {"arm": source.arm, "candidate_arms": None, "propensity": None, "policy_version": None, "domain": None},
                {},
            ),
            *(("message", *_read_message(message)) for message in record["traj"]),  # type: ignore[attr-defined]  # _fault checked it
            ("outcome", _read_outcome(record), {k: v for k, v in record.items() if k not in _READ_FIELDS}),
        ]
        return [
            Event(
                kind=kind,
                at=start + ordinal * _EVENT_SPACING,
                line_number=line.number,
                payload=payload,
                source_id=source.source_id,
                ordinal=ordinal,
                session_id=f"task {record['task_id']} trial {record.get('trial', 0)}",
                task_id=str(record["task_id"]),
                extra=extra,
                is_synthetic_time=True,
            )
            for ordinal, (kind, payload, extra) in enumerate(contents)
        ]


def _fault(record: Mapping[str, object]) -> str | None:
    if isinstance(record.get("task_id"), bool) or not isinstance(record.get("task_id"), int | str):
        return "a run without a task_id"
    messages = record.get("traj")
    if not isinstance(messages, list) or not all(
        isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages
    ):
        return "a run whose traj is not a list of messages with roles"
    reward = record.get("reward")
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not 0 <= reward <= 1:
        return f"reward {reward!r} is not in [0, 1]"[:80]
    return None


def _read_message(message: Mapping[str, object]) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return a message's known fields and the rest."""
    known = ("role", "content", "tool_calls", "tool_call_id", "name")
    payload = {name: message[name] for name in known if name in message}
    return {"content": None, **payload}, {k: v for k, v in message.items() if k not in known}


def _read_outcome(record: Mapping[str, object]) -> Mapping[str, object]:
    reward = float(record["reward"])  # type: ignore[arg-type]  # _fault checked it
    return {
        "success": reward >= 1.0,
        "reward": reward,
        "label_source": "checker",
        "cost_usd": None,
        "latency_ms": None,
        "input_tokens": None,
        "output_tokens": None,
    }
