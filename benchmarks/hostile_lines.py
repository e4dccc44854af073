"""A million hostile lines from a grammar of mistakes, through every reader of JSON lines: each is read or quarantined with a reason.

Lines start as valid events (or calls, transcripts, spans) and are then spoilt: cut, doubled, spliced, given wrong types, absurd numbers,
deep nesting, odd bytes. Prints how many were read and how many rejected, per format, and the reasons; ends with status 1 where one line was
neither, or where a reader raised. It does not measure speed, and it does not go through the store.

    python benchmarks/hostile_lines.py [--lines 1000000] [--seed 0]
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from memloop_assets.trajectories.formats.catalogue import READERS
from memloop_assets.trajectories.formats.reader import Line, Rejected, SourceFacts

FORMATS = ("native", "openai-chat", "claude-code", "otlp")
STAMP = "2026-03-17T10:00:00+00:00"
FACTS = SourceFacts("s", "session_2026-03-17.jsonl", UTC, datetime(2026, 3, 17, tzinfo=UTC))

SAMPLES: dict[str, list[dict[str, object]]] = {
    "native": [
        {"type": "message", "role": "user", "content": "hello", "timestamp": STAMP, "session_id": "a"},
        {"type": "tool_call", "tool": "t", "args": {"x": [1, {"y": None}]}, "result": "r", "timestamp": STAMP},
        {"type": "route", "arm": "a", "candidate_arms": ["a", "b"], "propensity": 0.5, "timestamp": STAMP},
        {"type": "outcome", "success": True, "reward": 1.0, "cost_usd": 0.1, "latency_ms": 5, "timestamp": STAMP},
        {"type": "error", "error": "e", "context": {}, "timestamp": STAMP},
    ],
    "openai-chat": [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}], "model": "m"},
        {
            "id": "c",
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "startTime": 1773741600.0,
            "endTime": 1773741601.0,
        }
        | {
            "response": {
                "choices": [{"message": {"role": "assistant", "content": "yo"}}],
                "usage": {"prompt_tokens": 1},
            }
        },
    ],
    "claude-code": [
        {
            "type": "user",
            "sessionId": "s",
            "uuid": "u",
            "timestamp": STAMP,
            "message": {"role": "user", "content": "hi"},
        },
        {"type": "assistant", "sessionId": "s", "uuid": "v", "parentUuid": "u", "timestamp": STAMP}
        | {
            "message": {
                "id": "m",
                "role": "assistant",
                "model": "x",
                "content": [{"type": "text", "text": "yo"}],
                "usage": {},
            }
        },
    ],
    "otlp": [
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": []},
                    "scopeSpans": [
                        {
                            "spans": [
                                {
                                    "traceId": "a1",
                                    "spanId": "b1",
                                    "name": "chat m",
                                    "startTimeUnixNano": "1773741600000000000",
                                    "endTimeUnixNano": "1773741601000000000",
                                    "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}],
                                }
                            ]
                        }
                    ],
                }
            ]
        }
    ],
}
ODD_VALUES: list[object] = [
    None,
    True,
    -1,
    0,
    1e308,
    2**70,
    "",
    " ",
    "\ud800",
    "x" * 300,
    [],
    {},
    [[]],
    {"": {}},
    "NaN",
    "9999-99-99",
    -1e-300,
]
ODD_BYTES = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"}{",
    b"NaN",
    b"Infinity",
    b"\\u0000",
    b"\\ud800",
    b"[" * 300,
    b"1e999",
    b'"',
    b"\r",
    b"\t,",
]


def spoil_value(rng: random.Random, value: object) -> object:
    """Return the value with something wrong somewhere inside it."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.15:
            return {k: v for k, v in value.items() if k != name}
        if kind < 0.25:
            return {**value, rng.choice(["", "type", "extra", "timestamp", "\u0000"]): rng.choice(ODD_VALUES)}
        return {**value, name: spoil_value(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], spoil_value(rng, value[place]), *value[place + 1 :]]
    return rng.choice(ODD_VALUES)


def spoil_bytes(rng: random.Random, line: bytes) -> bytes:
    """Return the line with bytes cut, doubled, spliced in or replaced."""
    place = rng.randrange(len(line) + 1)
    ways: list[Callable[[], bytes]] = [
        lambda: line[:place],
        lambda: line + line,
        lambda: line[:place] + rng.choice(ODD_BYTES) + line[place:],
        lambda: line[place:] + line[:place],
        lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40))),
        lambda: line.replace(b":", b"", 1),
    ]
    return rng.choice(ways)()


def hostile_line(rng: random.Random, name: str) -> bytes:
    """Return one line that started valid; a few stay so."""
    value: object = rng.choice(SAMPLES[name])
    while rng.random() < 0.7:
        value = spoil_value(rng, value)
    line = json.dumps(value, allow_nan=True).encode("utf-8", "surrogatepass")
    while rng.random() < 0.4:
        line = spoil_bytes(rng, line)
    return line.replace(b"\n", b"").strip(b" \t\r\n") or b"?"


def main() -> int:
    """Feed every format its share of the lines; return 0 where each was read or rejected with a reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    faults = 0
    for name in FORMATS:
        rng = random.Random(f"{asked.seed}/{name}")  # noqa: S311  # hostile lines are no secret
        reader, counts, reasons = READERS[name], Counter[str](), Counter[str]()
        for number in range(1, asked.lines // len(FORMATS) + 1):
            raw = hostile_line(rng, name)
            found = reader.read_line(Line(number, 0, len(raw), raw), FACTS, FACTS.fallback_at)
            if isinstance(found, Rejected):
                counts["rejected"] += 1
                reasons[found.reason.split("'")[0].split('"')[0][:48]] += 1
                faults += not (found.reason and found.raw == raw and found.line_number == number)
            else:
                counts["read"] += 1
                faults += not (found and all(event.line_number == number for event in found))
        print(
            f"{name}: {counts['read']:,} read, {counts['rejected']:,} rejected for {len(reasons)} kinds of reasons; most often:"
        )
        for reason, count in reasons.most_common(5):
            print(f"  {count:>9,}  {reason}")
    print(f"neither read nor rejected whole: {faults}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
