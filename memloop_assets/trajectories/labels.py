"""What a log says of a task attempt beside its course: what was retrieved, the last answer, who scored it, labels of the task.

Pure functions of a trajectory, for its row. How it was cut is in ``segments``, what its outcome is in ``trajectory``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from memloop_assets.trajectories.formats.reader import canonical_json
from memloop_assets.trajectories.trajectory import Trajectory, chat_role, text_of

NO_LABEL = "unlabelled"


def label_columns(trajectory: Trajectory) -> dict[str, object]:
    """Return the columns of ``trajectories`` that this module knows; what the log does not say is null, tags are never empty."""
    retrieved = retrieved_context(trajectory)
    return {
        "domain_tags_json": canonical_json(domain_tags(trajectory)),
        "difficulty": _last_label(trajectory, "difficulty"),
        "risk_level": _last_label(trajectory, "risk_level"),
        "judge_score": score_by(trajectory, "judge"),
        "human_score": score_by(trajectory, "user"),
        "retrieved_context_json": canonical_json(retrieved) if retrieved else None,
        "is_context_wrong": trajectory.outcome.get("context_correct") is False,
        "final_answer": final_answer(trajectory),
    }


def retrieved_context(trajectory: Trajectory) -> list[object]:
    """Return what was retrieved for the answers, in the order of the messages that carry it."""
    found: list[object] = []
    for message in trajectory.messages:
        given = message.get("retrieved_context", [])
        found += given if isinstance(given, list) else [given]
    return found


def final_answer(trajectory: Trajectory) -> str | None:
    """Return the last text of the agent, None where it said nothing."""
    answers = (text_of(m["content"]) for m in reversed(trajectory.messages) if chat_role(m["role"]) == "assistant")
    return next((answer for answer in answers if answer), None)


def score_by(trajectory: Trajectory, label_source: str) -> float | None:
    """Return the last reward (or 1 / 0 for success / failure) of one who judged, also where somebody else judged later."""
    score = None
    for event in trajectory.events:
        if event.kind == "outcome" and event.payload.get("label_source") == label_source:
            reward, success = event.payload.get("reward"), event.payload.get("success")
            given = reward if isinstance(reward, float) else success
            score = float(given) if isinstance(given, bool | float) else score
    return score


def domain_tags(trajectory: Trajectory) -> list[str]:
    """Return the logged tags and the domain, sorted; where there are none the tools that were called, else ``unlabelled``."""
    logged = {str(tag) for payload in _labelled(trajectory) for tag in payload.get("domain_tags") or ()}
    logged |= {str(payload["domain"]) for payload in _labelled(trajectory) if payload.get("domain")}
    return sorted(logged or {f"tool:{name}" for name in _tools(trajectory)} or {NO_LABEL})


def _last_label(trajectory: Trajectory, name: str) -> object:
    return next((value for p in reversed(_labelled(trajectory)) if (value := p.get(name)) is not None), None)


def _labelled(trajectory: Trajectory) -> list[Mapping[str, Any]]:
    return [event.payload for event in trajectory.events if event.kind in ("route", "outcome")]


def _tools(trajectory: Trajectory) -> Iterator[str]:
    """Yield the names of tools, called by events or inside messages in OpenAI's shape."""
    yield from (str(call["tool"]) for call in trajectory.tool_calls)
    for message in trajectory.messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            given = call if isinstance(call, dict) else {}
            function = given.get("function")
            name = (function if isinstance(function, dict) else given).get("name")
            if isinstance(name, str) and name.strip():
                yield name
