"""The trajectory: one task attempt as a value, with what can be said of it without judging it.

How events are cut into trajectories is in ``segments``; how good one is, in ``quality``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from memloop_assets.tasks import task_key
from memloop_assets.trajectories.formats.reader import Event, Origin, canonical_json

Content = Mapping[str, Any]

_VERDICT = ("success", "reward", "label_source")
_KEPT_ROLES = {"user", "system", "tool", "assistant", "developer"}


@dataclass(frozen=True)
class Trajectory:
    """One task attempt: its events in time order and what follows from them.

    ``messages``, ``tool_calls``, ``errors``, ``decisions`` and ``routes`` are the payloads of its events, each with its stamp ``at`` and
    its place ``seq`` among all events of the trajectory.
    """

    events: Sequence[Event]
    origin: Origin = "live"
    messages: Sequence[Content] = field(init=False)
    tool_calls: Sequence[Content] = field(init=False)
    errors: Sequence[Content] = field(init=False)
    decisions: Sequence[Content] = field(init=False)
    routes: Sequence[Content] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the events' payloads by kind; the events are in time order already."""
        by_kind: dict[str, list[Content]] = {}
        for seq, event in enumerate(self.events):
            by_kind.setdefault(event.kind, []).append({**event.payload, "at": event.at.isoformat(), "seq": seq})
        names = {
            "messages": "message",
            "tool_calls": "tool_call",
            "errors": "error",
            "decisions": "decision",
            "routes": "route",
        }
        for name, kind in names.items():
            object.__setattr__(self, name, by_kind.get(kind, []))

    @property
    def started_at(self) -> datetime:
        """Return the stamp of the first event."""
        return self.events[0].at

    @property
    def ended_at(self) -> datetime:
        """Return the stamp of the last event."""
        return self.events[-1].at

    @property
    def session_date(self) -> str:
        """Return the UTC date on which it started, as YYYY-MM-DD."""
        return self.started_at.date().isoformat()

    @property
    def message_count(self) -> int:
        """Count the messages."""
        return len(self.messages)

    @cached_property
    def tool_call_count(self) -> int:
        """Count the tool calls, those logged as events and those inside assistant messages."""
        inside = sum(len(calls) for m in self.messages if isinstance(calls := m.get("tool_calls"), list))
        return len(self.tool_calls) + inside

    @property
    def error_count(self) -> int:
        """Count the error events."""
        return len(self.errors)

    @property
    def has_successful_tool_call(self) -> bool:
        """Tell whether a tool was called and no error was logged."""
        return self.tool_call_count >= 1 and not self.errors

    @property
    def is_multi_step(self) -> bool:
        """Tell whether there is more to it than one question and one answer."""
        return self.message_count + self.tool_call_count >= 3

    @property
    def decision_count(self) -> int:
        """Count the decision events."""
        return len(self.decisions)

    @cached_property
    def user_message_count(self) -> int:
        """Count what people said."""
        return sum(chat_role(m["role"]) == "user" for m in self.messages)

    @cached_property
    def assistant_message_count(self) -> int:
        """Count what the agent said, under whatever name."""
        return sum(chat_role(m["role"]) == "assistant" for m in self.messages)

    @cached_property
    def agent_confidence(self) -> float | None:
        """Return the lowest confidence that the agent stated of its own messages; None where it stated none."""
        stated = [c for m in self.messages if isinstance(c := m.get("confidence"), float)]
        return min(stated) if stated else None

    @cached_property
    def task_text(self) -> str:
        """Return the task as it was asked: the first user message with text, empty where there is none."""
        texts = (text_of(m["content"]) for m in self.messages if chat_role(m["role"]) == "user")
        return next((text for text in texts if text), "")

    @property
    def task_key(self) -> str:
        """Return the identity of the task."""
        return task_key(self.task_text)

    @cached_property
    def outcome(self) -> Mapping[str, object]:
        """Return the outcome: the outcome events merged, a later value winning over an earlier one; empty where none was logged.

        A later verdict replaces an earlier one whole: success, reward and who judged never come from two events.
        """
        merged: dict[str, object] = {}
        for event in self.events:
            if event.kind == "outcome":
                if event.payload["success"] is not None or event.payload["reward"] is not None:
                    merged = {name: value for name, value in merged.items() if name not in _VERDICT}
                merged.update({name: value for name, value in event.payload.items() if value is not None})
        return merged

    @property
    def reward(self) -> float | None:
        """Return the logged reward, or 1 / 0 for a logged success / failure; None where neither is known."""
        reward, success = self.outcome.get("reward"), self.outcome.get("success")
        if isinstance(reward, float):
            return reward
        return float(success) if isinstance(success, bool) else None

    @property
    def is_known_failure(self) -> bool:
        """Tell whether the outcome says that it failed: ``success`` false, or without it a reward below one half."""
        success = self.outcome.get("success")
        if isinstance(success, bool):
            return not success
        return self.reward is not None and self.reward < 0.5

    @property
    def arms(self) -> tuple[str, ...]:
        """Return the distinct arms that its routes chose, in order."""
        return tuple(dict.fromkeys(str(route["arm"]) for route in self.routes))

    @cached_property
    def trajectory_id(self) -> str:
        """Return its identity: the first 32 hex digits of SHA-256 over its events' content and stamps, not over where they were read."""
        content = [
            [e.kind, e.at, e.session_id, e.task_id, e.user_id, e.decision_id, e.payload, e.extra] for e in self.events
        ]
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:32]

    def first_id(self, name: str) -> str | None:
        """Return the first logged value of ``session_id``, ``task_id``, ``user_id`` or ``decision_id``."""
        return next((value for event in self.events if (value := getattr(event, name)) is not None), None)


def to_chat_format(messages: Sequence[Content], tool_calls: Sequence[Content]) -> list[dict[str, object]]:
    """Return messages and tool calls as chat messages in time order: any assistant name becomes ``assistant``.

    Tool calls become ``tool`` messages. Messages without content are dropped, unless they carry tool calls of their own (OpenAI's shape).
    """
    chat: list[dict[str, object]] = []
    for item in sorted((*messages, *tool_calls), key=lambda item: item["seq"]):
        if "role" in item:
            message: dict[str, object] = {"role": chat_role(item["role"]), "content": text_of(item["content"])}
            message.update({name: item[name] for name in ("tool_calls", "tool_call_id", "name") if item.get(name)})
            if message["content"] or message.get("tool_calls"):
                chat.append(message)
        elif result := text_of(item["result"]):
            chat.append({"role": "tool", "name": item["tool"], "content": result})
    return chat


def in_order(events: Sequence[Event]) -> list[Event]:
    """Return events in the order of time, then of their place in the log."""
    return sorted(events, key=lambda e: (e.at, e.source_id, e.line_number, e.ordinal))


def chat_role(role: object) -> str:
    """Return the chat role of a logged role: any name that is none of the standard ones is the assistant's."""
    text = str(role).strip().lower()
    return text if text in _KEPT_ROLES else "assistant"


def text_of(content: object) -> str:
    """Return content as text: strings as they are, lists of text parts joined, anything else as canonical JSON, None as empty."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content if content.strip() else ""
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "\n".join(part["text"] for part in content)
    return canonical_json(content)
