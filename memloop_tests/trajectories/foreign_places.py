"""Plants the secrets of `foreign_secrets.py` where logs of agents hold them: in what wording, and in which place of a JSON object.

By another hand than the rules, as `foreign_secrets.py` says. A plant is one JSON object of a log with one secret in it; `leaks` tells
whether a text still holds it: any stretch of half the secret's length counts, so that half a redaction is none.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from memloop_tests.trajectories.foreign_persons import PERSON_KINDS
from memloop_tests.trajectories.foreign_secrets import KEY_KINDS, Secret
from memloop_tests.trajectories.foreign_wordings import FIELDS, NAMES, worded, wordings_of

KINDS = KEY_KINDS | PERSON_KINDS
AT = "2026-03-17T10:00:00+00:00"


@dataclass(frozen=True)
class Plant:
    """One secret in one object of a log, and where it stands: kind and flavour, wording, place."""

    secret: Secret
    wording: str
    place: str
    record: dict[str, Any]

    def leaks(self, redacted: object) -> bool:
        """Tell whether `redacted`, what was left of the record, still holds a half of the secret."""
        text = _bare(json.dumps(redacted, ensure_ascii=False))
        return any(
            core[at : at + half] in text
            for core in (_bare(core) for core in self.secret.core)
            for half in (max(5, (len(core) + 1) // 2),)
            for at in range(max(1, len(core) - half + 1))
        )


def _bare(text: str) -> str:
    """Return `text` without what quoting adds: backslashes, and the escapes of `@` and blank in URLs."""
    return text.replace("\\", "").replace("%40", "@").replace("%20", " ").replace("\u00a0", " ")


Place = Callable[[random.Random, str], dict[str, Any]]
# A place for running text. What is around the text is what the format around it has.
TEXT_PLACES: dict[str, Place] = {
    "message": lambda rng, text: {
        "type": "message",
        "role": rng.choice(["user", "assistant", "system"]),
        "content": text,
        "timestamp": AT,
    },
    "content part": lambda _, text: {
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
        "model": "m",
    },
    "tool result": lambda _, text: {
        "type": "tool_call",
        "tool": "bash",
        "args": {"command": "cat .env"},
        "result": text,
        "timestamp": AT,
    },
    "nested result": lambda _, text: {
        "type": "tool_call",
        "tool": "bash",
        "result": {"exit_code": 0, "output": {"stdout": text, "stderr": ""}},
        "timestamp": AT,
    },
    "array": lambda rng, text: {
        "type": "tool_call",
        "tool": "search",
        "args": {"queries": ["opening hours", [text, rng.randrange(9)]]},
        "result": [],
        "timestamp": AT,
    },
    "tool arguments": lambda _, text: {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "write_file", "arguments": json.dumps({"text": text})},
                    },
                ],
            }
        ],
        "model": "m",
    },
    "tool arguments, unicode kept": lambda _, text: {
        "type": "tool_call",
        "tool": "run",
        "args": json.dumps({"steps": [{"input": text}]}, ensure_ascii=False, indent=2),
        "timestamp": AT,
    },
    "JSON in JSON": lambda _, text: {
        "type": "tool_call",
        "tool": "http_get",
        "result": json.dumps({"status": 200, "body": json.dumps({"items": [{"note": text}]})}),
        "timestamp": AT,
    },
    "error": lambda _, text: {"type": "error", "error": text, "context": "while calling the tool", "timestamp": AT},
    "unknown field": lambda _, text: {
        "type": "outcome",
        "success": False,
        "timestamp": AT,
        "debug": {"trace": [{"frame": {"locals": {"value": text}}}]},
    },
}
# A place for the bare secret under a name that tells what it is, as parsed configuration, headers and forms have it.
NAMED_PLACES: dict[str, Callable[[random.Random, str, str], dict[str, Any]]] = {
    "named field": lambda _, name, value: {
        "type": "tool_call",
        "tool": "connect",
        "args": {"host": "db", name: value},
        "timestamp": AT,
    },
    "named field, deep": lambda _, name, value: {
        "type": "tool_call",
        "tool": "read_config",
        "result": {"services": [{"settings": {"retries": 3, name: value}}]},
        "timestamp": AT,
    },
    "named field in JSON text": lambda _, name, value: {
        "type": "tool_call",
        "tool": "read_config",
        "result": json.dumps({"region": "eu", name: value}),
        "timestamp": AT,
    },
    "named field in arguments": lambda _, name, value: {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "login", "arguments": json.dumps({"user": "anna", name: value})},
                    },
                ],
            }
        ],
        "model": "m",
    },
    "named field in JSON in JSON": lambda _, name, value: {
        "type": "tool_call",
        "tool": "http_get",
        "result": json.dumps({"body": json.dumps({"data": {name: value}})}),
        "timestamp": AT,
    },
    "name and value": lambda _, name, value: {
        "type": "tool_call",
        "tool": "kubectl",
        "result": {"env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": name, "value": value}]},
        "timestamp": AT,
    },
    "list of values": lambda _, name, value: {
        "type": "tool_call",
        "tool": "read_config",
        "result": {name: [value]},
        "timestamp": AT,
    },
}


def _object_key(_: random.Random, value: str) -> dict[str, Any]:
    return {"type": "tool_call", "tool": "usage", "result": {"requests": {value: {"count": 4}}}, "timestamp": AT}


def _command_list(rng: random.Random, name: str, value: str) -> dict[str, Any]:
    flag = "--" + name.lower().replace("_", "-")
    arguments = rng.choice([[flag, value], [f"{flag}={value}"]])
    return {
        "type": "tool_call",
        "tool": "exec",
        "args": {"argv": ["deploy", "--region", "eu", *arguments]},
        "timestamp": AT,
    }


def _header_list(_: random.Random, value: str) -> dict[str, Any]:
    headers = [["content-type", "application/json"], ["authorization", value]]
    return {
        "type": "tool_call",
        "tool": "http",
        "args": {"url": "https://api.example.com/v1", "headers": headers},
        "timestamp": AT,
    }


def _number(rng: random.Random, name: str, digits: str) -> dict[str, Any]:
    value = rng.choice([digits, int(digits)])
    return {"type": "tool_call", "tool": "charge", "args": {name: value, "amount": 40}, "timestamp": AT}


def _places_of(kind: str) -> list[str]:
    """Return every place in which a secret of `kind` is believable."""
    places = [*TEXT_PLACES, *NAMED_PLACES]
    if kind in {"provider_key", "jwt", "email", "phone", "card", "iban", "url_credentials"}:
        places.append("object key")
    if kind in {"provider_key", "jwt", "generic_secret", "password"}:
        places.append("command list")
    if kind == "auth_header":
        places.append("header list")
    if kind in {"card", "phone"}:
        places.append("number")
    return places


def plant(rng: random.Random, kind: str, place: str) -> Plant:
    """Return one secret of `kind` in `place`, worded as such a text has it."""
    secret = KINDS[kind](rng)
    if place in TEXT_PLACES:
        wording = rng.choice(wordings_of(kind))
        return Plant(secret, wording, place, TEXT_PLACES[place](rng, worded(rng, wording, secret)))
    if place == "object key":
        return Plant(secret, "bare", place, _object_key(rng, secret.text))
    if place == "header list":
        return Plant(secret, "bare", place, _header_list(rng, secret.text))
    if place == "command list":
        return Plant(secret, "bare", place, _command_list(rng, rng.choice(NAMES[kind]), secret.text))
    name = rng.choice(FIELDS[kind])
    if place == "number":
        digits = "".join(filter(str.isdigit, secret.text))
        bare = Secret(kind, secret.flavour, digits, (digits,))
        name = {"card": "card_number", "phone": "phone"}[kind]
        return Plant(bare, "bare", place, _number(rng, name, digits if digits[0] != "0" else "49" + digits.lstrip("0")))
    return Plant(secret, "bare", place, NAMED_PLACES[place](rng, name, secret.text))


def plants(seed: int, per_cell: int) -> Iterator[Plant]:
    """Yield `per_cell` plants of every kind in every place that it can stand in, the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311  (nothing here is to be unguessable)
    for kind in KINDS:
        for place in _places_of(kind):
            for _ in range(per_cell):
                yield plant(rng, kind, place)
