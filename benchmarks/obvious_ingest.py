"""The obvious program: what a competent engineer writes in an afternoon to do what memloop's ingest does with native session logs.

Stdlib json, dataclasses and loops over objects: copy the files, parse each line once, quarantine what cannot be read, cut by ids and
silence, redact every string with every rule, grade, and write the tables week by week as Parquet. ``ingest_cost`` runs it beside the
product and compares counts and cost. It keeps everything in memory, and leaves out what the product promises besides the tables: growing
and repeated files, late lines, replays, verdicts, durable writes.

    python benchmarks/obvious_ingest.py LOGS OUT [--redaction on|off]
"""

import argparse
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from memloop_assets.trajectories.secret_rules import RULES, Rule

SILENCE = timedelta(minutes=5)
ID_SILENCE = timedelta(days=7)
IDS = ("session_id", "task_id", "user_id", "decision_id")
FIELDS = {
    "message": ("role", "content", "confidence"),
    "tool_call": ("tool", "args", "result"),
    "error": ("error", "context"),
    "decision": ("decision", "rationale"),
    "route": ("arm", "candidate_arms", "propensity", "policy_version", "domain"),
    "outcome": (
        *("success", "reward", "label_source", "cost_usd", "latency_ms"),
        *("input_tokens", "output_tokens"),
    ),
}
NEEDED = {
    "message": ("role", "content"),
    "tool_call": ("tool",),
    "error": ("error",),
    "decision": ("decision",),
    "route": ("arm",),
    "outcome": (),
}


@dataclass
class Event:
    """One line that could be read."""

    kind: str
    at: datetime
    file: str
    line: int
    ids: dict[str, str | None]
    payload: dict[str, Any]
    extra: dict[str, Any]


@dataclass
class Bad:
    """One line that could not be read."""

    file: str
    line: int
    at: datetime
    reason: str
    raw: bytes


@dataclass
class Trajectory:
    """One task attempt."""

    events: list[Event]
    finds: Counter[str] = field(default_factory=Counter)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of one kind, each with its stamp and place."""
        return [
            {**event.payload, "at": event.at.isoformat(), "seq": place}
            for place, event in enumerate(self.events)
            if event.kind == kind
        ]


def refuse(text: str) -> NoReturn:
    """Refuse the constants that JSON does not have."""
    raise ValueError(text)


def read_line(file: str, number: int, raw: bytes, before: datetime) -> Event | Bad:
    """Return what one line says."""
    try:
        found = json.loads(raw.decode(), parse_constant=refuse)
    except ValueError as error:
        return Bad(file, number, before, str(error)[:80], raw)
    kind = found.get("type") if isinstance(found, dict) else None
    try:
        at = datetime.fromisoformat(found.pop("timestamp"))
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (AttributeError, KeyError, TypeError, ValueError):
        at = before
    if kind not in FIELDS or any(name not in found for name in NEEDED[kind]):
        return Bad(file, number, at, "no event", raw)
    del found["type"]
    reward, propensity = found.get("reward"), found.get("propensity")
    if (reward is not None and not 0 <= reward <= 1) or (propensity is not None and not 0 < propensity <= 1):
        return Bad(file, number, at, "out of bounds", raw)
    ids = {name: found.pop(name, None) for name in IDS}
    payload = {name: found.pop(name, None) for name in FIELDS[kind]}
    return Event(kind, at, file, number, ids, payload, found)


def read_logs(folder: Path, landing: Path) -> tuple[list[Event], list[Bad], list[dict[str, Any]]]:
    """Copy every file and read its lines; return events, bad lines, and a row per file and week."""
    events: list[Event] = []
    bad: list[Bad] = []
    files = []
    for path in sorted(folder.glob("*.jsonl")):
        copy = landing / path.name
        shutil.copyfile(path, copy)
        before = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
        weeks: Counter[str] = Counter()
        digest = hashlib.sha256()
        with copy.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                digest.update(raw)
                if not raw.strip():
                    continue
                found = read_line(path.name, number, raw.strip(), before)
                (events if isinstance(found, Event) else bad).append(found)  # type: ignore[arg-type]  # each to its own
                before = found.at
                weeks[week_of(found.at)] += 1
        files += [
            {"week": week, "file": path.name, "lines": count, "sha256": digest.hexdigest()}
            for week, count in weeks.items()
        ]
    return events, bad, files


def week_of(at: datetime) -> str:
    """Return the ISO week of a stamp."""
    year, number, _ = at.isocalendar()
    return f"{year}-W{number:02d}"


def cut(events: list[Event]) -> Iterator[Trajectory]:
    """Yield the trajectories: lanes by session, task or decision, ended by silence, then by task and after an outcome."""
    lanes: dict[tuple[str, str], list[Event]] = {}
    decisions: dict[str, tuple[str, str]] = {}
    for event in sorted(events, key=lambda event: (event.at, event.file, event.line)):
        session, task, user, decision = (event.ids[name] for name in IDS)
        if session or task:
            lane = ("session", session) if session else ("task", str(task))
            if decision:
                decisions[decision] = lane
        elif decision:
            lane = decisions.get(decision, ("decision", decision))
        else:
            lane = ("silence", user or "")
        lanes.setdefault(lane, []).append(event)
    for (kind, _), lane_events in lanes.items():
        gap = SILENCE if kind == "silence" else ID_SILENCE
        run: list[Event] = []
        for event in lane_events:
            if run and event.at - run[-1].at > gap:
                yield from attempts(run)
                run = []
            run.append(event)
        yield from attempts(run)


def attempts(run: list[Event]) -> list[Trajectory]:
    """Return the attempts of one run: one per task id, a new one after an outcome."""
    found: list[Trajectory] = []
    latest: dict[str | None, Trajectory] = {}
    closed: set[int] = set()
    for event in run:
        attempt = latest.get(event.ids["task_id"])
        is_opening = event.kind == "route" or event.payload.get("role") in ("user", "system")
        if attempt is None or (id(attempt) in closed and is_opening):
            attempt = Trajectory([])
            found.append(attempt)
        attempt.events.append(event)
        latest[event.ids["task_id"]] = latest[None] = attempt
        if event.kind == "outcome":
            closed.add(id(attempt))
    return found


class Redaction:
    """Puts placeholders in place of secrets, the same for the same value."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        """Keep the rules."""
        self.rules = rules
        self.given: dict[tuple[str, str], str] = {}
        self.finds: Counter[str] = Counter()

    def value(self, value: Any) -> Any:
        """Return a JSON value with every string redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(inner) for key, inner in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value

    def text(self, text: str) -> str:
        """Return text with the finds of every rule replaced."""
        for rule in self.rules:
            for start, end in reversed(list(rule.find(text))):
                self.finds[rule.name] += 1
                key = (rule.label, text[start:end])
                placeholder = self.given.setdefault(key, f"<{rule.label}_{len(self.given) + 1}>")
                text = text[:start] + placeholder + text[end:]
        return text


def redact(trajectory: Trajectory, rules: tuple[Rule, ...]) -> None:
    """Redact every field of a trajectory's events, in place."""
    redaction = Redaction(rules)
    for event in trajectory.events:
        event.payload = redaction.value(event.payload)
        event.extra = redaction.value(event.extra)
        event.ids = {name: redaction.text(value) if value else None for name, value in event.ids.items()}
    trajectory.finds = redaction.finds


def grade(row: dict[str, Any]) -> tuple[float, str]:
    """Return points and tier of a trajectory, by the rules of memloop."""
    confidence = row["agent_confidence"]
    points = 1.0 if row["user_messages"] and row["assistant_messages"] else 0.0
    points += 1.0 if row["tool_calls"] and not row["errors"] else 0.0
    points += 0.5 if row["tool_calls"] >= 2 else 0.0
    points += 1.0 if row["messages"] + row["tool_calls"] >= 3 else 0.0
    points += 0.5 if row["user_messages"] >= 2 and row["assistant_messages"] >= 2 else 0.0
    points += 0.5 if row["decisions"] else 0.0
    points += 0.5 if confidence is not None and confidence >= 0.8 else 0.0
    points -= 0.5 if confidence is not None and confidence < 0.4 else 0.0
    points -= row["errors"]
    return points, "LOW" if not row["user_messages"] or points < 1 else "HIGH" if points >= 4 else "MEDIUM"


def row_of(trajectory: Trajectory) -> dict[str, Any]:
    """Return a trajectory as a row."""
    first, last = trajectory.events[0], trajectory.events[-1]
    told = {kind: trajectory.of(kind) for kind in FIELDS}
    messages, routes = told["message"], told["route"]
    roles = [message["role"] for message in messages]
    outcome: dict[str, Any] = {}
    for one in told["outcome"]:
        outcome.update({name: value for name, value in one.items() if value is not None})
    confidences = [message["confidence"] for message in messages if message["confidence"] is not None]
    texts = [message["content"] for message in messages if message["role"] == "user" and message["content"]]
    task = str(texts[0]) if texts else ""
    content = [[e.kind, e.at.isoformat(), e.ids, e.payload, e.extra] for e in trajectory.events]
    arms = {route["arm"] for route in routes}
    return {
        "trajectory_id": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32],
        "week": week_of(first.at),
        **{name: next((e.ids[name] for e in trajectory.events if e.ids[name]), None) for name in IDS},
        "file": first.file,
        "first_line": first.line,
        "last_line": last.line,
        "started_at": first.at,
        "ended_at": last.at,
        "task_text": task,
        "task_key": hashlib.sha256(" ".join(task.casefold().split()).encode()).hexdigest()[:32],
        "events": len(trajectory.events),
        "messages": len(messages),
        "user_messages": roles.count("user"),
        "assistant_messages": sum(role not in ("user", "system", "tool", "developer") for role in roles),
        "tool_calls": len(told["tool_call"]),
        "errors": len(told["error"]),
        "decisions": len(told["decision"]),
        "agent_confidence": min(confidences, default=None),
        "arm": arms.pop() if len(arms) == 1 else None,
        "propensity": routes[0]["propensity"] if routes else None,
        "domain": routes[0]["domain"] if routes else None,
        "policy_version": routes[0]["policy_version"] if routes else None,
        **{name: outcome.get(name) for name in ("success", "reward", "label_source", "cost_usd", "latency_ms")},
        "messages_json": json.dumps(messages),
        "tool_calls_json": json.dumps(told["tool_call"]),
        "errors_json": json.dumps(told["error"]),
        "decisions_json": json.dumps(told["decision"]),
        "extra_json": json.dumps([[e.line, e.extra] for e in trajectory.events if e.extra]),
    }


def write_weeks(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write rows as one Parquet file per week."""
    folder.mkdir(parents=True)
    weeks: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        weeks.setdefault(row["week"], []).append(row)
    for week, week_rows in weeks.items():
        pq.write_table(pa.Table.from_pylist(week_rows), folder / f"{week}.parquet", compression="zstd")


def main() -> None:
    """Ingest a folder of logs, print the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--redaction", choices=("on", "off"), default="on")
    asked = parser.parse_args()
    rules = RULES if asked.redaction == "on" else ()
    landing = asked.out / "landing"
    landing.mkdir(parents=True)
    events, bad, files = read_logs(asked.logs, landing)
    rows: dict[str, dict[str, Any]] = {}
    finds: Counter[str] = Counter()
    for trajectory in cut(events):
        if rules:
            redact(trajectory, rules)
        finds += trajectory.finds
        row = row_of(trajectory)
        rows.setdefault(row["trajectory_id"], row)
    graded = {name: grade(row) for name, row in rows.items()}
    redaction = Redaction(rules)
    quarantined = [
        {"week": week_of(one.at), "file": one.file, "line": one.line, "reason": one.reason}
        | {"raw_text": redaction.text(one.raw.decode("utf-8", "backslashreplace"))}
        for one in bad
    ]
    quality = [
        {"week": rows[name]["week"], "trajectory_id": name, "score": score, "tier": tier}
        for name, (score, tier) in graded.items()
    ]
    for name, table in (
        ("files", files),
        ("trajectories", list(rows.values())),
        ("quarantined", quarantined),
        ("quality", quality),
    ):
        write_weeks(table, asked.out / name)
    tiers = Counter(tier for _, tier in graded.values())
    counts = {"lines": len(events) + len(bad), "quarantined": len(bad), "trajectories": len(rows)}
    print(json.dumps(counts | {tier.lower(): tiers[tier] for tier in ("HIGH", "MEDIUM", "LOW")}))


if __name__ == "__main__":
    main()
